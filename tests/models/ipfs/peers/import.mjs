// Add a directory to a blockstore with Helia, and print its root.
// node import.mjs DIRECTORY STORE
import { readdir } from 'node:fs/promises'
import { createReadStream } from 'node:fs'
import path from 'node:path'
import { unixfs } from '@helia/unixfs'
import { FsBlockstore } from 'blockstore-fs'
import { createHeliaLight } from 'helia'

async function * filesBelow (directory) {
  for (const entry of await readdir(directory, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue
    const file = path.join(entry.parentPath, entry.name)
    yield { path: path.relative(directory, file), content: createReadStream(file) }
  }
}

const [directory, store] = process.argv.slice(2)
const blockstore = new FsBlockstore(store)
await blockstore.open()
const helia = await createHeliaLight({ blockstore }).start()
let root
for await (const entry of unixfs(helia).addAll(filesBelow(directory), { profile: 'unixfs-v1-2025', wrapWithDirectory: true })) {
  root = entry.cid
}
console.log(root.toString())
await helia.stop()
