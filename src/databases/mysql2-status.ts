import type { Pool } from 'mysql2/promise'

/**
 * Whether a connection of `mysql2` is in a transaction. The library does not keep it, but the server says it with every answer (the
 * status flags of OK and EOF packets), and from those it is read here: SQL that was sent would not tell what DDL or a deadlock ended.
 */
export class TransactionStatus {
  /** Undefined until the server has said it. */
  isIn: boolean | undefined
  #ended: (() => void)[] = []

  set(isIn: boolean | undefined): void {
    this.isIn = isIn
    if (isIn === true || this.#ended.length === 0) return
    const ended = this.#ended
    this.#ended = []
    for (const tell of ended) tell()
  }

  onceEnded(tell: () => void): void {
    this.#ended.push(tell)
  }
}

/** The parts of mysql2's connection, below its promises, that are read here. */
export interface Core {
  execute(options: object, done: (error: unknown, rows: unknown, fields: unknown) => void): unknown
  query(options: object, done: (error: unknown, rows: unknown, fields: unknown) => void): unknown
  release?(): void
  destroy(): void
  readonly config: {
    readonly host?: string
    readonly port?: number
    readonly socketPath?: string
    readonly database?: string
    readonly typeCast?: unknown
  }
  handlePacket(packet: Packet | undefined): void
  readonly _command?: {
    readonly next?: unknown
    readonly resultsetHeader?: unknown
    readonly row?: unknown
  } | null
}

interface Packet {
  readonly buffer: Buffer
  readonly start: number
  readonly end: number
}

const headerBytes = 4
const okMark = 0x00
const endMark = 0xfe
const errorMark = 0xff
const endBytesMax = 9
const inTransaction = 0x0001
const deadlock = 1213
/** A wait for a lock that ran out, as the server is set; and MariaDB's innodb_snapshot_isolation, on by default since 11.6. */
const mayEndTransaction = new Set([1205, 1020])

const statuses = new WeakMap<object, TransactionStatus>()

/** What the connection is known to be in, from now on. */
export function statusOf(core: Core): TransactionStatus {
  let status = statuses.get(core)
  if (!status) {
    status = new TransactionStatus()
    statuses.set(core, status)
    follow(core, status)
  }
  return status
}

const followed = new WeakSet<object>()

/** Follows each connection of a pool from the moment that somebody takes it. */
export function followPool(pool: Pool): void {
  // Several of promises may stand before one.
  const { pool: inner } = pool as unknown as { pool: object }
  if (followed.has(inner)) return
  followed.add(inner)
  pool.on('acquire', (connection) => void statusOf(connection as unknown as Core))
}

function follow(core: Core, status: TransactionStatus): void {
  const handle = core.handlePacket
  core.handlePacket = function (packet) {
    const before = this._command
    const said = packet && flagsOf(packet, before)
    handle.call(this, packet)
    if (said !== undefined) status.set(said === 'unknown' ? undefined : (said & inTransaction) !== 0)
  }
}

/** The status flags in an answer's packet; 'unknown' after an error that may have ended the transaction. */
function flagsOf({ buffer, start, end }: Packet, command: Core['_command']): number | 'unknown' | undefined {
  const at = start + headerBytes
  const mark = buffer[at]
  if (mark === errorMark) {
    const number = buffer.readUInt16LE(at + 1)
    return number === deadlock ? 0 : mayEndTransaction.has(number) ? 'unknown' : undefined
  }
  if (mark === endMark && end - at < endBytesMax) return buffer.readUInt16LE(at + 3)
  // A row may begin like an OK packet.
  if (mark !== okMark || !command || command.next !== command.resultsetHeader) return undefined
  return buffer.readUInt16LE(afterInteger(buffer, afterInteger(buffer, at + 1)))
}

/** Where a length-encoded integer ends. */
function afterInteger(buffer: Buffer, at: number): number {
  const first = buffer[at]!
  return at + (first < 0xfb ? 1 : first === 0xfc ? 3 : first === 0xfd ? 4 : 9)
}
