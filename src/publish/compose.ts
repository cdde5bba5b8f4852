import { WaybillError } from '../core/errors.ts'
import { encodeJson } from '../core/json.ts'
import { type MaybePromise, chain } from '../core/maybe-promise.ts'
import { type NewMessage, type PublishedEnvelope, withDigest } from '../core/message.ts'
import { fitsUtf8, isPlainText, utf8Length } from '../core/names.ts'
import { dueTime } from '../core/policies/delay.ts'
import type { Ports } from '../core/ports.ts'
import { type Addressed, checkInput } from '../core/topic.ts'
import { headerBytesMax, headersMax, textBytesMax } from './limits.ts'

export interface ComposeOptions {
  readonly service: string
  readonly mode: 'sync' | 'async'
  readonly bodyBytesMax: number
  readonly ports: Ports
}

const fields = new Set([
  'body',
  'key',
  'shardingKey',
  'tag',
  'headers',
  'dedupKey',
  'delay',
  'deliverAt',
  'delayLevel',
])

/** Validates one new message and encodes it. All checks come before anything is written. */
export function compose(addressed: Addressed, options: ComposeOptions): MaybePromise<PublishedEnvelope> {
  const { topic, message } = addressed
  if (typeof message !== 'object' || message === null) {
    throw new WaybillError('message.invalid', `a message for ${topic.name} must be an object with a body`, {
      topic: topic.name,
    })
  }
  checkFields(topic.name, message)
  return chain(checkInput(topic, message.body, options.mode), () => seal(addressed, options))
}

function seal({ topic, message }: Addressed, options: ComposeOptions): PublishedEnvelope {
  const body = topic.encoding === 'binary' ? (message.body as Uint8Array).slice() : encodeJson(message.body)
  checkSize(topic.name, body, options.bodyBytesMax)
  const now = options.ports.clock.now()
  const envelope = {
    id: options.ports.ids.message(now),
    service: options.service,
    topic: topic.name,
    tag: message.tag ?? null,
    key: message.key ?? null,
    shardingKey: message.shardingKey ?? null,
    headers: message.headers ?? {},
    body,
    publishedAt: now,
    eligibleAt: dueTime(message, now),
    dedupKey: message.dedupKey ?? null,
  }
  return withDigest(envelope, options.ports.digest)
}

function checkFields(topic: string, message: NewMessage<unknown>): void {
  for (const field of Object.keys(message)) {
    if (!fields.has(field))
      throw new WaybillError(
        'message.field-unknown',
        `a message for ${topic} has the field ${JSON.stringify(field)}, which Waybill does not know and would ignore; known are ${[...fields].join(', ')}`,
        { topic, field },
      )
  }
  if (!('body' in message))
    throw new WaybillError('message.invalid', `a message for ${topic} has no body`, { topic })
  checkText('message.key-invalid', 'key', message.key)
  checkText('message.key-invalid', 'shardingKey', message.shardingKey)
  checkText('message.key-invalid', 'dedupKey', message.dedupKey)
  checkText('message.tag-invalid', 'tag', message.tag)
  if (message.tag?.includes('|'))
    throw new WaybillError(
      'message.tag-invalid',
      `tag ${JSON.stringify(message.tag)} contains '|', which separates tags in a filter`,
    )
  if (message.headers !== undefined) checkHeaders(message.headers)
}

function checkText(code: 'message.key-invalid' | 'message.tag-invalid', field: string, text: unknown): void {
  if (text === undefined) return
  if (typeof text === 'string' && text !== '' && isPlainText(text) && fitsUtf8(text, textBytesMax)) return
  const found = typeof text === 'string' ? `${utf8Length(text)} bytes` : `a ${typeof text}`
  throw new WaybillError(
    code,
    `${field} must be 1 to ${textBytesMax} bytes of text without NUL or broken surrogates; this is ${found}`,
    { field },
  )
}

function checkHeaders(headers: Readonly<Record<string, unknown>>): void {
  const entries = Object.entries(headers)
  const refuse = (why: string): never => {
    throw new WaybillError('message.headers-invalid', `headers are refused: ${why}`)
  }
  if (entries.length > headersMax) refuse(`${entries.length} of them; at most ${headersMax} are allowed`)
  for (const [name, value] of entries) {
    if (typeof value !== 'string' || !isPlainText(value) || !isPlainText(name) || name === '')
      refuse(`${JSON.stringify(name)} must have a name and a text value without NUL`)
    else if (utf8Length(name) + utf8Length(value) > headerBytesMax)
      refuse(`${JSON.stringify(name)} is larger than ${headerBytesMax} bytes`)
    else if (name.startsWith('waybill-'))
      refuse(`${JSON.stringify(name)}: names beginning with waybill- are Waybill's own`)
  }
}

function checkSize(topic: string, body: string | Uint8Array, max: number): void {
  if (typeof body === 'string' ? fitsUtf8(body, max) : body.byteLength <= max) return
  const bytes = typeof body === 'string' ? utf8Length(body) : body.byteLength
  throw new WaybillError(
    'message.body-too-large',
    `a body for ${topic} has ${bytes} bytes; at most ${max} are allowed; keep large things elsewhere and send a reference`,
    { topic, bytes, max },
  )
}
