import { WaybillError } from './errors.ts'
import type { HalfOptions } from './half.ts'
import type { NewMessage } from './message.ts'
import { checkTopicName } from './names.ts'
import { type StandardSchema, describeIssues } from './standard-schema.ts'
import { type MaybePromise, chain, isPromise } from './maybe-promise.ts'

/** Marks a topic whose bodies are bytes: `topic('scan.uploaded', binary)`. */
export const binary: unique symbol = Symbol('binary')

export interface TopicOptions {
  /** How many queues its messages are spread over; fixed when the topic is created in a database (P19). 1…64, default 4. */
  readonly queues?: number
  /** How half messages of it are checked back. */
  readonly half?: HalfOptions
}

/**
 * A topic's name, how its bodies are encoded and checked, and its number of queues.
 * `In` is what publishers give (stored as given); `Out` is what handlers get (the schema's transforms run once, on consume).
 */
export interface Topic<In = unknown, Out = In> {
  readonly name: string
  readonly queues: number
  readonly encoding: 'json' | 'binary'
  readonly schema: StandardSchema<In, Out> | undefined
  readonly half: HalfOptions | undefined
  /** For `publishAll`, which mixes topics. */
  message(message: NewMessage<In>): Addressed
}

/** A new message together with its topic. */
export interface Addressed {
  readonly topic: Topic<never, unknown>
  readonly message: NewMessage<unknown>
}

const queuesDefault = 4
const queuesMax = 64

/**
 * Declares a topic.
 * - `topic<OrderPaid>('order.paid')`: typed, not checked at run time
 * - `topic('order.paid', schema)`: any Standard Schema (zod, valibot, arktype)
 * - `topic('scan.uploaded', binary)`: bodies are Uint8Array
 *
 * @throws WaybillError `topic.name-invalid`, `topic.queues-invalid`
 */
export function topic<Body>(name: string, schema?: undefined, options?: TopicOptions): Topic<Body, Body>
export function topic(
  name: string,
  schema: typeof binary,
  options?: TopicOptions,
): Topic<Uint8Array, Uint8Array>
export function topic<In, Out>(
  name: string,
  schema: StandardSchema<In, Out>,
  options?: TopicOptions,
): Topic<In, Out>
export function topic<In, Out>(
  name: string,
  schema?: StandardSchema<In, Out> | typeof binary,
  options: TopicOptions = {},
): Topic<In, Out> {
  checkTopicName(name)
  const queues = options.queues ?? queuesDefault
  if (!Number.isInteger(queues) || queues < 1 || queues > queuesMax) {
    throw new WaybillError(
      'topic.queues-invalid',
      `topic ${name} cannot have ${String(queues)} queues; give a whole number from 1 to ${queuesMax}`,
      { topic: name, queues },
    )
  }
  const declared: Topic<In, Out> = {
    name,
    queues,
    encoding: schema === binary ? 'binary' : 'json',
    schema: schema === binary ? undefined : schema,
    half: options.half,
    message: (message) => ({ topic: declared as unknown as Topic<never, unknown>, message }),
  }
  return declared
}

/**
 * Checks a body against the topic's schema before it is stored. What is stored is the input, not the schema's output.
 * @throws WaybillError `message.body-invalid`; `topic.schema-async` where the schema answers a promise and `mode` is sync
 */
export function checkInput(
  declared: Topic<never, unknown>,
  body: unknown,
  mode: 'sync' | 'async',
): MaybePromise<void> {
  if (declared.encoding === 'binary') {
    if (body instanceof Uint8Array) return
    throw new WaybillError(
      'message.body-invalid',
      `topic ${declared.name} is binary: its bodies are Uint8Array`,
      { topic: declared.name },
    )
  }
  if (!declared.schema) return
  const result = declared.schema['~standard'].validate(body)
  if (mode === 'sync' && isPromise(result)) {
    // Its outcome no longer matters, and must not surface as an unhandled rejection.
    result.catch(() => {})
    throw new WaybillError(
      'topic.schema-async',
      `the schema of topic ${declared.name} validates asynchronously, which a synchronous database cannot wait for inside a transaction; use a synchronous schema`,
      { topic: declared.name },
    )
  }
  return chain(result, (checked) => {
    if (checked.issues) {
      throw new WaybillError(
        'message.body-invalid',
        `the body does not fit the schema of topic ${declared.name}: ${describeIssues(checked.issues)}`,
        { topic: declared.name },
      )
    }
  })
}

/**
 * Decodes a stored body and runs the topic's schema over it, once, for a handler.
 * @throws WaybillError `message.body-invalid`
 */
export function decodeBody<Out>(declared: Topic<never, Out>, body: string | Uint8Array): MaybePromise<Out> {
  if (declared.encoding === 'binary' || body instanceof Uint8Array) {
    if (declared.encoding === 'binary' && body instanceof Uint8Array) return body as Out
    throw new WaybillError(
      'message.body-invalid',
      `topic ${declared.name} is ${declared.encoding}, but a message of it is not; publisher and consumer declare it differently`,
      { topic: declared.name },
    )
  }
  const value = parseJson(declared.name, body)
  if (!declared.schema) return value as Out
  return chain(declared.schema['~standard'].validate(value), (checked) => {
    if (!checked.issues) return checked.value
    throw new WaybillError(
      'message.body-invalid',
      `a stored body does not fit the schema of topic ${declared.name}: ${describeIssues(checked.issues)}`,
      { topic: declared.name },
    )
  })
}

/** @throws WaybillError `message.body-invalid` */
export function parseJson(name: string, text: string): unknown {
  try {
    return JSON.parse(text)
  } catch (cause) {
    throw new WaybillError(
      'message.body-invalid',
      `a stored body of topic ${name} is not JSON`,
      { topic: name },
      { cause },
    )
  }
}
