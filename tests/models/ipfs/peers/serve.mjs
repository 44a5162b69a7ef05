// Serve a blockstore with Helia: as a trustless gateway through @helia/verified-fetch, and over bitswap.
// node serve.mjs STORE [GATEWAY]; blocks that the store lacks come from the gateway.
import http from 'node:http'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { withBitswap } from '@helia/bitswap'
import { withLibp2p } from '@helia/libp2p'
import { createVerifiedFetchWithHelia } from '@helia/verified-fetch'
import { identify } from '@libp2p/identify'
import { noise } from '@libp2p/noise'
import { tcp } from '@libp2p/tcp'
import { yamux } from '@libp2p/yamux'
import { FsBlockstore } from 'blockstore-fs'
import { heliaFrom } from './helia.mjs'

const [store, gateway] = process.argv.slice(2)
const blockstore = new FsBlockstore(store)
await blockstore.open()
const loopback = {
  addresses: { listen: ['/ip4/127.0.0.1/tcp/0'] },
  transports: [tcp()],
  connectionEncrypters: [noise()],
  streamMuxers: [yamux()],
  services: { identify: identify() },
  peerDiscovery: []
}
const helia = await withBitswap(withLibp2p(heliaFrom(gateway, { blockstore }), loopback)).start()
const verifiedFetch = await createVerifiedFetchWithHelia(helia)

async function answer (request, response) {
  const url = new URL(request.url, 'http://localhost')
  const accept = { raw: 'application/vnd.ipld.raw', car: 'application/vnd.ipld.car' }[url.searchParams.get('format')]
  const resource = url.pathname.match(/^\/ipfs\/(.+)$/)?.[1]
  if (accept === undefined || resource === undefined) return response.writeHead(400).end()
  const stopped = new AbortController()
  response.on('close', () => stopped.abort())
  const signal = AbortSignal.any([stopped.signal, AbortSignal.timeout(30_000)])
  const got = await verifiedFetch(`ipfs://${resource}`, { headers: { accept }, signal, session: false })
  response.writeHead(got.status, Object.fromEntries(got.headers))
  await pipeline(Readable.fromWeb(got.body), response)
}

const server = http.createServer((request, response) => {
  answer(request, response).catch(error => {
    if (!response.headersSent) response.writeHead(500)
    response.end(String(error))
  })
})
server.listen(0, '127.0.0.1', () => {
  const swarm = helia.libp2p.getMultiaddrs()[0].toString()
  console.log(JSON.stringify({ gateway: `http://127.0.0.1:${server.address().port}`, swarm }))
})
