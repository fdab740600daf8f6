// Does what it is told on standard input, one JSON object a line, and tells what happens on standard output.
import { createInterface } from 'node:readline'
import ws from 'ws'

const { createClient } = await import(process.env.CLIENT)

let userToken = null
const options = { realtime: { transport: ws, timeout: 5000, vsn: process.env.VSN || undefined } }
if (process.env.THIRD_PARTY) options.accessToken = async () => userToken
const supabase = createClient(process.env.URL, process.env.KEY, options)
const channels = new Map()

const tell = (event, rest = {}) => console.log(JSON.stringify({ event, ...rest }))
const bytes = (payload) => (payload instanceof ArrayBuffer ? { bytes: [...new Uint8Array(payload)] } : payload)

const acts = {
  subscribe({ name, config = {}, changes = [], presence = false }) {
    const channel = supabase.channel(name, { config })
    channels.set(name, channel)
    for (const wanted of changes) {
      channel.on('postgres_changes', wanted, (change) => tell('change', { name, wanted, change }))
    }
    channel.on('broadcast', { event: '*' }, (heard) =>
      tell('broadcast', { name, what: heard.event, payload: bytes(heard.payload), meta: heard.meta }),
    )
    channel.on('system', {}, (payload) => tell('system', { name, payload }))
    if (presence) {
      channel.on('presence', { event: 'sync' }, () => tell('sync', { name, state: channel.presenceState() }))
    }
    channel.subscribe((status, error) => tell('status', { name, status, error: error?.message }))
  },
  async send({ name, what, payload }) {
    const answer = await channels.get(name).send({ type: 'broadcast', event: what, payload })
    tell('sent', { name, answer })
  },
  async sendBytes({ name, what, numbers }) {
    const payload = new Uint8Array(numbers).buffer
    const answer = await channels.get(name).send({ type: 'broadcast', event: what, payload })
    tell('sent', { name, answer })
  },
  async httpSend({ name, what, payload, config = {} }) {
    const channel = channels.get(name) ?? supabase.channel(name, { config })
    try {
      tell('sent', { name, answer: await channel.httpSend(what, payload) })
    } catch (error) {
      tell('sent', { name, error: error.message })
    }
  },
  async track({ name, payload }) {
    tell('tracked', { name, answer: await channels.get(name).track(payload) })
  },
  async untrack({ name }) {
    tell('untracked', { name, answer: await channels.get(name).untrack() })
  },
  async setAuth({ token }) {
    userToken = token
    await supabase.realtime.setAuth(process.env.THIRD_PARTY ? undefined : token)
    tell('authorized')
  },
  async remove({ name }) {
    tell('removed', { name, answer: await supabase.removeChannel(channels.get(name)) })
  },
}

createInterface({ input: process.stdin })
  .on('line', async (line) => {
    const command = JSON.parse(line)
    try {
      await acts[command.do](command)
    } catch (error) {
      tell('failed', { did: command.do, error: String(error) })
    }
  })
  .on('close', () => process.exit(0))
tell('ready')
