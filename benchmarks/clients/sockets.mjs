// Followers of a table: `client` is one supabase-js, `sockets` are bare sockets with a user of its own each, which cost
// this process less. Prints `ready`, then for each new value of `body` a line with it and the time at which the last
// follower heard of it, in nanoseconds of the monotonic clock. `stream` asks one task after the other, and prints the
// first text of each.
import { createHmac, randomUUID } from 'node:crypto'
import { createClient } from '@supabase/supabase-js'
import WebSocket from 'ws'

const [mode, url, key, secret, count] = process.argv.slice(2)
const BINDING = { event: 'UPDATE', schema: 'public', table: 'watched' }

const token = () => {
  const part = (value) => Buffer.from(JSON.stringify(value)).toString('base64url')
  const claims = { sub: randomUUID(), role: 'authenticated', aud: 'authenticated', exp: Date.now() / 1000 + 3600 }
  const text = `${part({ alg: 'HS256', typ: 'JWT' })}.${part({ ...claims, exp: Math.floor(claims.exp) })}`
  return `${text}.${createHmac('sha256', secret).update(text).digest('base64url')}`
}
const say = (word) => process.stdout.write(`${word} ${process.hrtime.bigint()}\n`)

async function client() {
  const mine = token()
  const supabase = createClient(url, key, { realtime: { transport: WebSocket }, accessToken: async () => mine })
  await supabase.realtime.setAuth(mine)
  supabase
    .channel('watched')
    .on('postgres_changes', BINDING, ({ new: row }) => say(row.body))
    .on('system', {}, ({ status }) => status === 'ok' && say('ready'))
    .subscribe()
}

function sockets(many) {
  const heard = new Map()
  let ready = 0
  const take = (data) => {
    const text = data.toString()
    const body = /"body": ?"([^"]*)"/.exec(text)?.[1]
    if (body !== undefined) {
      heard.set(body, (heard.get(body) ?? 0) + 1)
      if (heard.get(body) === many) say(body)
    } else if (text.includes('Subscribed to PostgreSQL')) {
      ready += 1
      if (ready === many) say('ready')
      else open()
    }
  }
  let opened = 0
  const open = () => {
    if (opened === many) return
    opened += 1
    const socket = new WebSocket(`${url.replace('http', 'ws')}/realtime/v1/websocket?apikey=${key}&vsn=2.0.0`)
    const config = { postgres_changes: [BINDING], broadcast: {}, presence: {}, private: false }
    socket.on('open', () =>
      socket.send(JSON.stringify(['1', '1', 'realtime:watched', 'phx_join', { config, access_token: token() }])),
    )
    socket.on('message', take)
  }
  for (let n = 0; n < 20; n += 1) open()
}

async function stream(tasks) {
  const supabase = createClient(url, key, { realtime: { transport: WebSocket }, auth: { persistSession: false } })
  const mine = token()
  const asUser = createClient(url, key, { realtime: { transport: WebSocket }, accessToken: async () => mine })
  await supabase.realtime.setAuth(mine)
  for (let n = 0; n < tasks; n += 1) {
    const id = randomUUID()
    const binding = { event: 'INSERT', schema: 'public', table: 'agent_task_events', filter: `task_id=eq.${id}` }
    await new Promise((resolve) => {
      const channel = supabase
        .channel(`task-${id}`)
        .on('postgres_changes', binding, ({ new: event }) => {
          if (event.type === 'text-delta') say(event.data.delta)
          if (event.type === 'finish') supabase.removeChannel(channel).then(resolve)
        })
        .on('system', {}, async ({ status }) => {
          if (status !== 'ok') return
          const { error } = await asUser.from('agent_task_requests').insert({ id, kind: 'speak' })
          if (error) throw new Error(error.message)
        })
        .subscribe()
    })
  }
  process.exit(0)
}

if (mode === 'client') client()
else if (mode === 'stream') stream(Number(count))
else sockets(Number(count))
