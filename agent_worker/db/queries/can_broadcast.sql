-- Whether streamed text can go by Realtime Broadcast. Index: none, no table is read.
SELECT agent_worker.can_broadcast()
