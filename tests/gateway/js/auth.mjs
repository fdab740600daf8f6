// Signs up, in, on and out with the real client, and prints what happened as one line of JSON.
// Environment: VERSION as package.json names it, GATEWAY_URL, PUBLISHABLE_KEY, SECRET_KEY.
import ws from 'ws'

const { VERSION, GATEWAY_URL, PUBLISHABLE_KEY, SECRET_KEY } = process.env
const { createClient } = await import(`supabase-js-${VERSION}`)

const client = (key) =>
  createClient(GATEWAY_URL, key, {
    auth: { persistSession: false, autoRefreshToken: false },
    realtime: { transport: ws },
  })

const good = ({ data, error }) => {
  if (error) throw error
  return data
}
const refused = ({ error }) => ({ name: error.name, status: error.status, code: error.code, message: error.message })

const found = {}
const email = `Ann.${VERSION}@example.com`

const anonymous = client(PUBLISHABLE_KEY)
const guest = good(await anonymous.auth.signInAnonymously({ options: { data: { theme: 'dark' } } }))
found.guest = [guest.user.is_anonymous, guest.user.user_metadata.theme, guest.session.token_type]
const named = good(await anonymous.auth.updateUser({ email: `guest.${email}`, password: 'a long secret', data: { theme: null } }))
found.named = [named.user.id === guest.user.id, named.user.is_anonymous, named.user.email, named.user.user_metadata]
found.provider = good(await anonymous.auth.getUser()).user.app_metadata.provider

const ann = client(PUBLISHABLE_KEY)
const up = good(await ann.auth.signUp({ email, password: 'correct horse', options: { data: { name: 'Ann' } } }))
found.signUp = [up.user.email, up.user.user_metadata.name, up.session !== null]
found.again = refused(await client(PUBLISHABLE_KEY).auth.signUp({ email, password: 'correct horse' }))
found.weak = refused(await client(PUBLISHABLE_KEY).auth.signUp({ email: `b${email}`, password: 'short' }))
found.wrong = refused(await client(PUBLISHABLE_KEY).auth.signInWithPassword({ email, password: 'battery staple' }))
const signedIn = good(await ann.auth.signInWithPassword({ email, password: 'correct horse' }))
const first = signedIn.session.refresh_token
const claims = good(await ann.auth.getClaims()).claims
found.claims = [claims.sub === up.user.id, claims.role, claims.aud, claims.email, claims.aal]
const on = good(await ann.auth.refreshSession())
found.refreshed = [on.session.refresh_token !== first, on.session.access_token !== signedIn.session.access_token]
found.user = good(await ann.auth.getUser()).user.id === up.user.id
found.unknownToken = refused(await client(PUBLISHABLE_KEY).auth.refreshSession({ refresh_token: 'made up' }))
found.samePassword = refused(await ann.auth.updateUser({ password: 'correct horse' }))

const admin = client(SECRET_KEY).auth.admin
const made = good(
  await admin.createUser({ email: `op.${email}`, password: 'operator secret', app_metadata: { agent_worker: 'operator' } }),
)
found.created = made.user.app_metadata
const listed = good(await admin.listUsers())
found.listed = [listed.users.some((user) => user.id === made.user.id), listed.total >= 3]
found.updated = good(await admin.updateUserById(made.user.id, { user_metadata: { desk: 7 } })).user.user_metadata
found.one = good(await admin.getUserById(made.user.id)).user.email
await admin.deleteUser(made.user.id).then(good)
found.deleted = refused(await admin.getUserById(made.user.id))
found.notAdmin = refused(await client(PUBLISHABLE_KEY).auth.admin.listUsers())

const session = good(await ann.auth.getSession()).session
const out = await ann.auth.signOut()
found.signedOut = out.error
const late = client(PUBLISHABLE_KEY)
found.afterwards = refused(await late.auth.getUser(session.access_token))
found.lateRefresh = refused(await late.auth.refreshSession({ refresh_token: session.refresh_token }))
console.log(JSON.stringify(found))
