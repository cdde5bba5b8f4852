import { dueReader } from '../core/delayed.ts'
import type { ReaderFacts } from '../core/facts.ts'
import { type Copy, type Places, isSent, isServed, readerOf } from './places.ts'
import { countOf, deciderOf, timeOf } from './reasons.ts'
import { type Evidence, type Verdict, publishedEvidence, verdict } from './verdict.ts'

/** What is younger than this is taken to be on its way: between two looks at two databases it may well have been. */
export const onItsWayMs = 10_000

/** What keeps it from entering the log, for now or for good. Undefined where it is in the log. */
export function beforeTheLog(origin: Copy): Verdict | undefined {
  const { message } = origin
  if (message.ended) return endedVerdict(origin)
  if (message.place === 'half') return undecidedVerdict(origin)
  return message.place === 'delayed' ? delayedVerdict(origin) : undefined
}

function endedVerdict(origin: Copy): Verdict {
  const { id, half } = origin.message
  const { state, at, because } = origin.message.ended!
  const evidence = [
    publishedEvidence(origin),
    { database: origin.database, from: 'waybill_ended', fact: `${state} at ${timeOf(at)}` },
  ]
  const filling = { at: timeOf(at), by: deciderOf(half?.decidedBy ?? null), reason: because ?? '-' }
  return verdict({ code: state, stoppedAt: state === 'cancelled' ? 'due' : 'decided', id, filling, evidence })
}

function undecidedVerdict(origin: Copy): Verdict {
  const { id, service } = origin.message
  const { state, checks, failures, because, checkAt } = origin.message.half!
  const fact = `${state}, ${checks} checks answered, ${failures} failed, next at ${timeOf(checkAt)}`
  return verdict({
    code: state === 'in-doubt' ? 'in-doubt' : 'half-undecided',
    stoppedAt: 'decided',
    id,
    filling: { service, checks, failures, reason: because ?? '-', due: timeOf(checkAt) },
    evidence: [publishedEvidence(origin), { database: origin.database, from: 'waybill_halves', fact }],
  })
}

function delayedVerdict(origin: Copy): Verdict {
  const { id, service, eligibleAt } = origin.message
  const { now } = origin.facts
  const mover = readerOf(origin, dueReader)
  const isOverdue = eligibleAt <= now && !isServed(mover, now)
  return verdict({
    code: isOverdue ? 'due-not-moved' : 'delayed',
    stoppedAt: 'due',
    id,
    filling: { due: timeOf(eligibleAt), service },
    evidence: [
      publishedEvidence(origin),
      { database: origin.database, from: 'waybill_leases', fact: holderOf(mover, dueReader) },
    ],
  })
}

/** What keeps it from being sent. Undefined where it was sent, or where nothing is relayed. */
export function beforeTheTransport(origin: Copy): Verdict | undefined {
  if (isSent(origin) !== false) return undefined
  const { database, message } = origin
  const { id } = message
  const own = message.groups.find(({ group }) => group === '@relay')
  const parts = { stoppedAt: 'relayed', id } as const
  if (own?.state === 'dead' || own?.state === 'discarded') {
    const fact = `@relay ${own.state} at ${timeOf(own.at)}, ${own.cause ?? '-'}`
    const evidence = [publishedEvidence(origin), { database, from: 'waybill_dispositions', fact }]
    const reason = own.because ?? '-'
    return own.state === 'dead'
      ? verdict({ ...parts, code: 'transport-refused', filling: { reason }, evidence })
      : verdict({
          ...parts,
          code: 'discarded',
          group: '@relay',
          filling: { reason, at: timeOf(own.at) },
          evidence,
        })
  }
  return unsentVerdict(origin, readerOf(origin, '@relay'))
}

/** It is to go to another database, and no relay has ever run in its own: there is not even a cursor. */
export function neverRelayed({ landed, subscribers }: Places, origin: Copy): Verdict | undefined {
  const { facts, message } = origin
  if (facts.relays || message.place !== 'log') return undefined
  if (subscribers.every(({ database }) => landed.some((copy) => copy.database === database))) return undefined
  return verdict({
    code: 'relay-not-running',
    stoppedAt: 'relayed',
    id: message.id,
    filling: { service: message.service, waiting: '1+' },
    evidence: [publishedEvidence(origin), leaseEvidence(origin, undefined, '@relay')],
  })
}

function unsentVerdict(origin: Copy, relay: ReaderFacts | undefined): Verdict {
  const { facts, message } = origin
  const { id, service } = message
  const parts = {
    stoppedAt: 'relayed',
    id,
    evidence: [
      publishedEvidence(origin),
      ...(relay ? [cursorEvidence(origin, relay)] : []),
      leaseEvidence(origin, relay, '@relay'),
    ],
  } as const
  // A topic that is new has no cursor yet: it waits itself.
  const waiting = countOf(relay?.waiting ?? 1)
  const isYoung = facts.now - Math.max(message.eligibleAt, relay?.sentAt ?? 0) < onItsWayMs
  if (!isServed(relay, facts.now) && (relay || !isYoung))
    return verdict({ ...parts, code: 'relay-not-running', filling: { service, waiting } })
  const owner = relay?.owner ?? '@relay'
  // A relay that gets something through is only busy.
  if (!isYoung) return verdict({ ...parts, code: 'transport-refusing', filling: { owner, service, waiting } })
  const reason = {
    en: `the relay ${owner} is about to send it; ${waiting} messages of its queue wait`,
    zh: `投递进程 ${owner} 即将发出；该队列有 ${waiting} 条消息在等待`,
  }
  return verdict({ ...parts, code: 'in-transit', filling: { reason } })
}

export function cursorEvidence({ database, message }: Copy, reader: ReaderFacts): Evidence {
  const fact = `${reader.reader} is at ${reader.position} of queue ${reader.queue}, the message at ${message.position}`
  return { database, from: 'waybill_cursors', fact }
}

export function leaseEvidence({ database }: Copy, reader: ReaderFacts | undefined, name?: string): Evidence {
  return { database, from: 'waybill_leases', fact: holderOf(reader, name ?? reader?.reader ?? '-') }
}

function holderOf(reader: ReaderFacts | undefined, name: string): string {
  if (!reader || reader.owner === null) return `nobody serves the queue as ${name}`
  return `${reader.owner} serves the queue as ${name} until ${timeOf(reader.leaseUntil)}`
}
