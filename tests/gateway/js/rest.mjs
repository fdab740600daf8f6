// Everything that a table's client of supabase-js can say, in the order in which the rows need it.
import { strict as assert } from 'node:assert'
import ws from 'ws'

const { createClient } = await import(process.env.SUPABASE_JS)
const supabase = createClient(process.env.URL, process.env.KEY, {
  accessToken: async () => process.env.TOKEN,
  realtime: { transport: ws },
})
const books = () => supabase.from('books')
const results = {}

async function told(name, query) {
  const { data, error, count, status, statusText } = await query
  results[name] = { data, error: error && { code: error.code, details: error.details, hint: error.hint, message: error.message }, count, status }
  return data
}

await told('insert', supabase.from('authors').insert({ name: 'Ursula', born: '1929-10-21' }))
const [ursula] = await told('inserted', supabase.from('authors').select())
await told('many', books().insert([
  { title: 'Dispossessed', author_id: ursula.id, tags: ['utopia', 'far off'], meta: { shelf: { row: 1 }, list: [10, 20] }, price: 12.25 },
  { title: 'Lathe', author_id: ursula.id, pages: '[1,200)' },
], { defaultToNull: false }).select('title, price, tags, shelf:meta->shelf->>row'))
await told('many with defaults', books().insert([{ title: 'Rocannon' }, { title: 'Tehanu', price: 3 }], { defaultToNull: false }).select('title,price'))
await told('a null that is not allowed', books().insert([{ title: 'A' }, { price: 3 }]))
await told('single', books().select('title').eq('title', 'Lathe').single())
await told('no single', books().select('title').single())
await told('maybe none', books().select('title').eq('title', 'none').maybeSingle())
await told('maybe one', books().select('title').eq('title', 'Lathe').maybeSingle())
await told('maybe several', books().select('title').maybeSingle())
await told('counted page', books().select('title', { count: 'exact' }).order('title', { ascending: false }).range(0, 1))
await told('counted head', books().select('*', { count: 'exact', head: true }))
await told('planned', books().select('*', { count: 'planned', head: true }))
await told('estimated', books().select('*', { count: 'estimated', head: true }))
await told('page beyond', books().select('title', { count: 'exact' }).range(10, 20))

const titles = (query) => query.order('title').then(({ data, error }) => { assert.equal(error, null); return data.map((b) => b.title) })
const filters = {
  eq: (q) => q.eq('title', 'Lathe'),
  neq: (q) => q.neq('title', 'Lathe'),
  gt: (q) => q.gt('price', 10),
  gte: (q) => q.gte('price', 12.25),
  lt: (q) => q.lt('price', 10),
  lte: (q) => q.lte('price', 3),
  like: (q) => q.like('title', '%e%h%'),
  ilike: (q) => q.ilike('title', 'l%'),
  likeAllOf: (q) => q.likeAllOf('title', ['%e%', '%a%']),
  likeAnyOf: (q) => q.likeAnyOf('title', ['L%', 'T%']),
  ilikeAnyOf: (q) => q.ilikeAnyOf('title', ['l%', 't%']),
  is: (q) => q.is('author_id', null),
  in: (q) => q.in('title', ['Lathe', 'Tehanu', 'with (brackets), and more']),
  contains: (q) => q.contains('tags', ['far off']),
  containsJson: (q) => q.contains('meta', { shelf: { row: 1 } }),
  containedBy: (q) => q.containedBy('tags', ['utopia', 'far off', 'c']),
  overlaps: (q) => q.overlaps('tags', ['utopia', 'z']),
  rangeGt: (q) => q.rangeGt('pages', '[-5,0)'),
  rangeGte: (q) => q.rangeGte('pages', '[1,5)'),
  rangeLt: (q) => q.rangeLt('pages', '[200,300)'),
  rangeLte: (q) => q.rangeLte('pages', '[1,200)'),
  rangeAdjacent: (q) => q.rangeAdjacent('pages', '[200,300)'),
  textSearch: (q) => q.textSearch('words', 'lathe', { config: 'simple' }),
  textSearchPlain: (q) => q.textSearch('title', 'lathe', { type: 'plain', config: 'english' }),
  textSearchWeb: (q) => q.textSearch('title', 'lathe or tehanu', { type: 'websearch' }),
  match: (q) => q.match({ title: 'Lathe', bound: 'soft' }),
  not: (q) => q.not('title', 'in', '(Lathe,Tehanu)'),
  or: (q) => q.or('title.eq.Lathe,and(price.lt.5,title.like.T*)'),
  orNested: (q) => q.or('title.eq.Lathe,not.and(price.lt.11,title.neq.Rocannon),tags.cs.{utopia}'),
  filter: (q) => q.filter('meta->shelf->>row', 'eq', '1'),
  jsonIndex: (q) => q.eq('meta->list->0', 10),
  isDistinct: (q) => (q.isDistinct ?? q.neq).call(q, 'title', 'Lathe'),
  regexMatch: (q) => q.filter('title', 'match', '^L.*e$'),
  odd: (q) => q.is('"odd name, \\"quoted\\" 100%"', null).eq('title', 'Lathe'),
}
results.filters = {}
for (const [name, filter] of Object.entries(filters)) results.filters[name] = await titles(filter(books().select('title')))

await told('ordered', books().select('title').order('price', { ascending: false, nullsFirst: false }).order('title').limit(2))
await told('update', books().update({ price: 4 }).eq('title', 'Tehanu'))
await told('updated', books().update({ meta: { a: 1 } }).eq('title', 'Tehanu').select('title,meta').single())
await told('updated none', books().update({ price: 4 }).eq('title', 'none').select())
await told('counted update', books().update({ price: 5 }, { count: 'exact' }).in('title', ['Tehanu', 'Lathe']))
const shelves = () => supabase.from('shelves')
await told('upsert new', shelves().upsert({ name: 'hall', size: 1 }).select('name,size'))
await told('upsert old', shelves().upsert({ owner: process.env.USER_ID, name: 'hall', size: 2 }, { onConflict: 'owner,name' }).select('name,size'))
await told('upsert ignored', shelves().upsert([{ owner: process.env.USER_ID, name: 'hall', size: 9 }], { onConflict: 'owner,name', ignoreDuplicates: true }).select('name,size'))
await told('authors by name', supabase.from('authors').upsert([{ name: 'Ursula', born: '1930-01-01' }, { name: 'Iain', born: null }], { onConflict: 'name' }).select('name,born'))
await told('duplicate', supabase.from('authors').insert({ name: 'Ursula' }))
await told('foreign key', books().insert({ title: 'x', author_id: 999 }))
await told('too many', books().delete().lt('price', 100).maxAffected(1))
const { data: [dispossessed] } = await books().select('id').eq('title', 'Dispossessed')
await told('review', supabase.from('reviews').insert([{ book_id: dispossessed.id, stars: 5, text: 'yes' }, { book_id: dispossessed.id, stars: 3 }]))
await told('check', supabase.from('reviews').insert({ book_id: dispossessed.id, stars: 6 }))
await told('to one', books().select('title, author:authors!author_id(name)').eq('title', 'Lathe'))
await told('by column', books().select('title, author_id(name)').eq('title', 'Lathe'))
await told('to many', books().select('title, reviews(stars)').order('title').order('stars', { referencedTable: 'reviews' }).limit(2))
await told('limited', books().select('title, reviews(stars)').eq('title', 'Dispossessed').order('stars', { referencedTable: 'reviews', ascending: false }).limit(1, { referencedTable: 'reviews' }))
await told('inner', books().select('title, reviews!inner(stars)', { count: 'exact' }).eq('reviews.stars', 5))
await told('spread', books().select('title, ...authors!author_id(writer:name)').eq('title', 'Lathe').single())
await told('ambiguous', books().select('title, authors(name)'))
await told('no relation', books().select('title, shelves(name)'))
await told('deeper', supabase.from('authors').select('name, books!author_id(title, reviews(text))').eq('name', 'Ursula').order('title', { referencedTable: 'books' }).single())
await told('rpc scalar', supabase.rpc('add', { a: 1, b: 2 }))
await told('rpc default', supabase.rpc('add', { a: 1 }))
await told('rpc get', supabase.rpc('add', { a: 1, b: 5 }, { get: true }))
await told('rpc set', supabase.rpc('primes', { upto: 7 }))
await told('rpc rows', supabase.rpc('my_books').select('title').gt('price', 11).order('title'))
await told('rpc count', supabase.rpc('my_books', {}, { count: 'exact', head: true }))
await told('rpc one', supabase.rpc('first_book').select('title'))
await told('rpc table', supabase.rpc('stats').order('kind', { ascending: false }))
await told('rpc out', supabase.rpc('pair'))
await told('rpc void', supabase.rpc('note', { what: 'hi' }))
await told('rpc variadic', supabase.rpc('total', { n: [1, 2, 3] }))
await told('rpc unknown', supabase.rpc('ad', { a: 1 }))
await told('rpc whoami', supabase.rpc('whoami'))
await told('unknown table', supabase.from('bokks').select())
await told('unknown column', books().insert({ titel: 'x' }))
await told('unknown schema', supabase.schema('private').from('books').select())
await told('csv', books().select().csv())
await told('delete', books().delete().eq('title', 'Rocannon'))
await told('deleted', books().delete({ count: 'exact' }).eq('title', 'Tehanu').select('title'))
console.log(JSON.stringify(results))
