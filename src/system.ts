import { randomUUID } from 'node:crypto'
import { bodyDigest } from './body-digest.ts'
import type { Clock } from './core/clock.ts'
import type { MessageId, OwnerId } from './core/ids.ts'
import type { Log } from './core/log.ts'
import type { Ports } from './core/ports.ts'
import { noTelemetry } from './core/telemetry.ts'
import { messageId } from './message-ids.ts'

/** The one place that touches the real clock, timers, chance and ids. */
export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  after: (delayMs, run) => {
    const timer = setTimeout(run, Math.min(delayMs, 2 ** 31 - 1)).unref()
    return () => clearTimeout(timer)
  },
  afterTurn: (run) => {
    const immediate = setImmediate(run)
    return () => clearImmediate(immediate)
  },
}

export const systemPorts: Ports = {
  clock: systemClock,
  ids: {
    message: (publishedAt = Date.now()) => messageId(publishedAt) as MessageId,
    owner: () => `${process.pid}-${randomUUID()}` as OwnerId,
    epoch: () => randomUUID(),
  },
  random: { next: () => Math.random() },
  digest: bodyDigest,
  log: stderrLog(),
  telemetry: noTelemetry,
  keepAlive: () => {
    const interval = setInterval(() => {}, 2 ** 30)
    return () => clearInterval(interval)
  },
  reached: () => {},
}

/** Warnings and errors as JSON lines on standard error, for users who pass no logger. */
function stderrLog(): Log {
  const write = (level: string) => (facts: object, message: string) => {
    process.stderr.write(
      `${JSON.stringify({ level, time: new Date().toISOString(), msg: message, ...facts }, errorsAsText)}\n`,
    )
  }
  return { debug() {}, info() {}, warn: write('warn'), error: write('error') }
}

function errorsAsText(_key: string, value: unknown): unknown {
  return value instanceof Error ? { name: value.name, message: value.message, stack: value.stack } : value
}
