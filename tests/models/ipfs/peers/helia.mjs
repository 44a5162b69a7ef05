// A Helia node that finds every block at one gateway on this machine, and nowhere else.
import { fallbackRouter } from '@helia/fallback-router'
import { withHTTP } from '@helia/http'
import { createHeliaLight } from 'helia'

export function heliaFrom (gateway, init = {}) {
  const local = { delegatedRouters: [], recursiveGateways: [], allowInsecure: true, allowLocal: true }
  const helia = withHTTP(createHeliaLight(init), local)
  if (gateway !== undefined) helia.addRouter(only(gateway))
  return helia
}

// Helia 7.1.15 waits for ever where every router is a fallback: it first asks the others, and the search among none
// of them never ends. A router that says nothing of being a fallback is asked at once.
function only (gateway) {
  const router = fallbackRouter({ gateways: [gateway] })
  return { name: router.name, findProviders: (cid, options) => router.findProviders(cid, options) }
}
