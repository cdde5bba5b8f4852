import { type Transport, WaybillError } from 'waybill'

type Connection = Awaited<ReturnType<Transport['open']>>
type Message = Parameters<Connection['send']>[0]['messages'][number]
type Outcome = Awaited<ReturnType<Connection['send']>>[number]
type Post = (path: string, request: object, ending?: AbortSignal) => Promise<Response>

const messagesPerRequest = 50
const answerWithinMs = 10_000
const releaseWithinMs = 1_000

/** Carries messages over the example broker: a topic is one queue there, read by one instance of a service at a time. */
export function exampleBroker({ url }: { readonly url: string }): Transport {
  const can = { keepsOrder: true, ordersRetries: true, durable: true, rewinds: true }
  return { name: 'example-broker', can, open: async (context) => connect(url, context) }
}

function connect(url: string, { service, ports, leaseMs }: Parameters<Transport['open']>[0]): Connection {
  const closed = new AbortController()
  const reader = { reader: service, instance: ports.ids.owner(), leaseMs }
  let subscription: Parameters<Connection['subscribe']>[0]
  let source = 'not known yet'
  const post: Post = (path, request, ending = closed.signal) => {
    const signal = AbortSignal.any([ending, closed.signal, AbortSignal.timeout(leaseMs + answerWithinMs)])
    return fetch(url + path, { method: 'POST', body: JSON.stringify({ ...reader, ...request }), signal })
  }
  return {
    async send({ messages }) {
      const outcomes: Outcome[] = []
      try {
        for (let i = 0; i < messages.length; i += messagesPerRequest)
          outcomes.push(...(await publish(post, messages.slice(i, i + messagesPerRequest))))
      } catch (error) {
        // Nothing is sent behind a request that may not have arrived.
        while (outcomes.length < messages.length) outcomes.push({ outcome: 'unknown', because: `${error}` })
      }
      return outcomes
    },
    async subscribe(wanted) {
      const { databaseId: owner, topics } = wanted
      const { taken, older, topic, groups } = await answerOf(await post('/subscribe', { owner, topics }))
      if (taken) throw new WaybillError('group.other-database', `another database consumes ${taken}`)
      if (older) {
        const because = `${older} older messages of ${topic} are there; say where ${groups} starts`
        throw new WaybillError('group.start-position-needed', because, { topic, groups, older })
      }
      subscription = wanted
    },
    async receive(land, signal) {
      const failed = new AbortController()
      const ending = AbortSignal.any([signal, closed.signal, failed.signal])
      const landNext = async (topic: string): Promise<void> => {
        const settledUpTo = (await subscription.landedUpTo(source, topic, 0))?.position
        const read = await answerOf(await post('/read', { topic, source, settledUpTo }, ending))
        source = read.source
        const messages: Message[] = read.messages.map(unpacked)
        const last = messages.at(-1)?.from
        if (!last) return
        await land({ messages, upTo: [{ ...last, topic }] })
        await answerOf(await post('/settle', { topic, upTo: last.position }))
      }
      const serving = subscription.topics.map(async ({ name }) => {
        while (!ending.aborted) await landNext(name).catch((error) => failed.abort(error))
      })
      // Until the last of them is over, so that nothing is being landed any more.
      await Promise.all(serving)
      if (!signal.aborted) throw ending.reason
    },
    async close() {
      // Another instance need not wait until the lease lapses. If this fails, it waits.
      await post('/release', {}, AbortSignal.timeout(releaseWithinMs)).catch(() => {})
      closed.abort()
    },
  }
}

async function publish(post: Post, messages: readonly Message[]): Promise<Outcome[]> {
  const response = await post('/publish', { messages: messages.map(packed) })
  if (response.status !== 400 && response.status !== 413)
    return (await answerOf(response)).ids.map((proof: string) => ({ outcome: 'sent', proof }))
  if (messages.length === 1) return [{ outcome: 'refused', because: await response.text() }]
  const half = messages.length >> 1
  return [...(await publish(post, messages.slice(0, half))), ...(await publish(post, messages.slice(half)))]
}

async function answerOf(response: Response): Promise<any> {
  if (!response.ok) throw new Error(`the broker answered ${response.status} ${await response.text()}`)
  return response.json()
}

function packed({ body, ...fields }: Message): object {
  const carried = typeof body === 'string' ? body : { base64: Buffer.from(body).toString('base64') }
  return { topic: fields.topic, body: { ...fields, body: carried } }
}

function unpacked({ source, position, body: { body, ...fields } }: any): Message {
  const carried = typeof body === 'string' ? body : Buffer.from(body.base64, 'base64')
  return { ...fields, body: carried, from: { source, queue: 0, position } }
}
