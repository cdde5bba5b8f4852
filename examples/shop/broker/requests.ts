/** The broker believes nothing that comes over the wire: what is wrong is refused with 400 `broker.bad-request`. */

import { HttpError } from '../shared/http.ts'
import type { NewMessage, ReadRequest, ReceiveRequest, SubscribeRequest } from './protocol.ts'

const messagesMax = 1000
const waitMsMax = 30_000
const leaseMsMax = 600_000
const start = /^(oldest|now|\d{4}-\d\d-\d\dT[\d:.]+Z)$/

export function publishRequest(body: unknown): NewMessage[] {
  const messages = listIn(body, 'messages')
  return messages.map((message) => {
    const fields = objectFrom(message, 'a message')
    const { key } = fields
    if (key !== undefined && typeof key !== 'string') refuse('"key" must be a string')
    if (fields['body'] === undefined) refuse('a message needs a "body"')
    const topic = nameIn(fields, 'topic')
    return key === undefined ? { topic, body: fields['body'] } : { topic, key, body: fields['body'] }
  })
}

export function receiveRequest(body: unknown): ReceiveRequest {
  const fields = objectFrom(body, 'the body')
  const topics = listIn(body, 'topics').map((topic) => nameIn({ topic }, 'topic'))
  return {
    group: nameIn(fields, 'group'),
    topics: [...new Set(topics)],
    max: numberIn(fields, 'max', 1, messagesMax),
    waitMs: numberIn(fields, 'waitMs', 0, waitMsMax),
  }
}

export function acknowledgeRequest(body: unknown): { group: string; offsets: number[] } {
  const offsets = listIn(body, 'deliveryIds').map((id) => {
    const match = typeof id === 'string' ? /^(\d{1,15}):\d{1,9}$/.exec(id) : null
    return match ? Number(match[1]) : refuse('a delivery id is what /receive gave, such as "17:1"')
  })
  return { group: groupRequest(body), offsets }
}

export function subscribeRequest(body: unknown): SubscribeRequest {
  const fields = objectFrom(body, 'the body')
  const topics = listIn(body, 'topics').map((topic) => {
    const { from, ...named } = objectFrom(topic, 'a topic')
    if (from !== undefined && (typeof from !== 'string' || !start.test(from)))
      refuse(`"from" is 'oldest', 'now' or a date such as "2026-01-31T00:00:00.000Z"`)
    const groups = listIn(topic, 'groups').map((group) => nameIn({ group }, 'group'))
    return { name: nameIn(named, 'name'), groups, from: from as string | undefined }
  })
  return { reader: nameIn(fields, 'reader'), owner: nameIn(fields, 'owner'), topics }
}

export function readRequest(body: unknown): ReadRequest {
  const fields = objectFrom(body, 'the body')
  const isSettled = fields['settledUpTo'] !== undefined
  return {
    reader: nameIn(fields, 'reader'),
    topic: nameIn(fields, 'topic'),
    instance: nameIn(fields, 'instance'),
    leaseMs: numberIn(fields, 'leaseMs', 1, leaseMsMax),
    source: nameIn(fields, 'source'),
    settledUpTo: isSettled ? numberIn(fields, 'settledUpTo', 0, Number.MAX_SAFE_INTEGER) : undefined,
  }
}

export function settleRequest(body: unknown): { reader: string; topic: string; upTo: number } {
  const fields = objectFrom(body, 'the body')
  const upTo = numberIn(fields, 'upTo', 0, Number.MAX_SAFE_INTEGER)
  return { reader: nameIn(fields, 'reader'), topic: nameIn(fields, 'topic'), upTo }
}

export function releaseRequest(body: unknown): string {
  return nameIn(objectFrom(body, 'the body'), 'instance')
}

export function groupRequest(body: unknown): string {
  return nameIn(objectFrom(body, 'the body'), 'group')
}

function objectFrom(value: unknown, what: string): Record<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) refuse(`${what} must be an object`)
  return value as Record<string, unknown>
}

function listIn(body: unknown, field: string): unknown[] {
  const list = objectFrom(body, 'the body')[field]
  if (!Array.isArray(list) || list.length === 0 || list.length > messagesMax) {
    refuse(`"${field}" must be a list of 1 to ${messagesMax}`)
  }
  return list as unknown[]
}

function nameIn(fields: Record<string, unknown>, field: string): string {
  const name = fields[field]
  if (typeof name !== 'string' || name === '' || name.length > 100)
    refuse(`"${field}" must be 1 to 100 characters`)
  return name as string
}

function numberIn(fields: Record<string, unknown>, field: string, min: number, max: number): number {
  const value = fields[field]
  if (typeof value !== 'number' || !Number.isInteger(value) || value < min || value > max) {
    refuse(`"${field}" must be a whole number from ${min} to ${max}`)
  }
  return value as number
}

function refuse(problem: string): never {
  throw new HttpError(400, 'broker.bad-request', problem)
}
