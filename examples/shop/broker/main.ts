/**
 * The example broker as a process of its own:
 *   node examples/shop/broker/main.ts --folder /some/folder --port 4100 --lease-ms 2000
 */

import { parseArgs } from 'node:util'
import { serveJson } from '../shared/http.ts'
import { reportReady, stopWhenAsked } from '../shared/process.ts'
import {
  acknowledgeRequest,
  groupRequest,
  publishRequest,
  readRequest,
  receiveRequest,
  releaseRequest,
  settleRequest,
  subscribeRequest,
} from './requests.ts'
import { BrokerStore } from './store.ts'

const { values } = parseArgs({
  options: {
    folder: { type: 'string' },
    port: { type: 'string', default: '0' },
    'lease-ms': { type: 'string', default: '30000' },
  },
})
if (values.folder === undefined) throw new Error('--folder is missing: where the broker keeps its files')

const store = await BrokerStore.open({ folder: values.folder, leaseMs: Number(values['lease-ms']) })
const { readers } = store
const server = await serveJson(Number(values.port), {
  'POST /publish': async (body) => ({ ids: await store.publish(publishRequest(body)) }),
  'POST /receive': async (body, gone) => ({ deliveries: await store.receive(receiveRequest(body), gone) }),
  'POST /acknowledge': async (body) => {
    const { group, offsets } = acknowledgeRequest(body)
    return { acknowledged: await store.acknowledge(group, offsets) }
  },
  'POST /pending': (body) => ({ keys: store.pendingKeys(groupRequest(body)) }),
  'POST /subscribe': (body) => readers.subscribe(subscribeRequest(body)),
  'POST /read': (body, gone) => readers.read(readRequest(body), gone),
  'POST /settle': (body) => {
    const { reader, topic, upTo } = settleRequest(body)
    return readers.settle(reader, topic, upTo)
  },
  'POST /release': (body) => readers.release(releaseRequest(body)),
  'GET /health': () => store.health(),
})
stopWhenAsked(async () => {
  await server.close()
  await store.close()
})
reportReady({ port: server.port })
