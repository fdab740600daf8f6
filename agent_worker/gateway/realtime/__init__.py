"""Supabase Realtime over one WebSocket: channels, broadcast, presence and database changes."""
