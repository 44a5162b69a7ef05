// Fetch a directory from a gateway with @helia/verified-fetch, which verifies each block, and write its files.
// node get.mjs GATEWAY ROOT OUT SECONDS
import { mkdir, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { createVerifiedFetchWithHelia } from '@helia/verified-fetch'
import { unixfs } from '@helia/unixfs'
import { CID } from 'multiformats/cid'
import { heliaFrom } from './helia.mjs'

const [gateway, root, out, seconds] = process.argv.slice(2)
const helia = await heliaFrom(gateway).start()
const verifiedFetch = await createVerifiedFetchWithHelia(helia)
const files = unixfs(helia)
const signal = AbortSignal.timeout(1000 * seconds)

async function * filesBelow (cid, above) {
  for await (const entry of files.ls(cid, { signal })) {
    const name = [...above, entry.name]
    const { type } = await files.stat(entry.cid, { signal })
    if (type === 'directory') yield * filesBelow(entry.cid, name)
    else yield name
  }
}

for await (const name of filesBelow(CID.parse(root), [])) {
  const response = await verifiedFetch(`ipfs://${root}/${name.map(encodeURIComponent).join('/')}`, { signal })
  if (!response.ok) throw new Error(`${name.join('/')}: HTTP ${response.status} ${await response.text()}`)
  const file = path.join(out, ...name)
  await mkdir(path.dirname(file), { recursive: true })
  await writeFile(file, response.body)
}
await helia.stop()
