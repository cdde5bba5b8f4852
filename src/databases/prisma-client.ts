import { WaybillError, reasonOf } from '../core/errors.ts'

/** A client of Prisma, of whatever schema. */
export interface PrismaLike<Tx> {
  $transaction<R>(work: (tx: Tx) => Promise<R>, ...rest: any[]): Promise<R>
}

/** A client, or what stands for it in a transaction. */
export interface AnyPrisma extends PrismaLike<AnyPrisma> {
  $queryRawUnsafe(text: string, ...values: readonly unknown[]): Promise<readonly Row[]>
  $executeRawUnsafe(text: string, ...values: readonly unknown[]): Promise<number>
  $extends(extension: object): AnyPrisma
  /** What Prisma takes away in a transaction. `$transaction` is no sign: those nest in 7.10. */
  readonly $connect?: unknown
  readonly _engineConfig?: { readonly adapter?: AdapterFactory | null }
}

export type Row = Record<string, unknown>

/** What Prisma's driver adapters have in common. */
export interface AdapterFactory {
  readonly provider: string
  /** What the user has made it over, if it was a pool of `pg`. */
  readonly externalPool?: unknown
  connect(): Promise<Adapter>
}
export interface Adapter {
  underlyingDriver(): unknown
  dispose(): Promise<void>
}

export interface PrismaTimes {
  /** After which Prisma rolls a transaction of its own accord back. */
  readonly timeout: number
  readonly maxWait: number
}

/** @throws WaybillError `config.invalid` */
export function adapterOf(client: Pick<AnyPrisma, '_engineConfig'>): AdapterFactory {
  const adapter = client._engineConfig?.adapter
  if (adapter) return adapter
  throw new WaybillError(
    'config.invalid',
    'this is no PrismaClient of Prisma 7 with a driver adapter; pass what `new PrismaClient({ adapter })` makes',
  )
}

export function isPrisma(handle: unknown): handle is AnyPrisma {
  const { $queryRawUnsafe, $executeRawUnsafe } = (handle ?? {}) as Partial<AnyPrisma>
  return typeof $queryRawUnsafe === 'function' && typeof $executeRawUnsafe === 'function'
}

const changesOnly = /^\s*(?:insert|update|delete)\b(?![\s\S]*\breturning\b)/i

/** One statement. Prisma answers either its rows or how many it has changed. */
export async function askPrisma(
  on: AnyPrisma,
  text: string,
  params: readonly unknown[],
): Promise<{ readonly rows: readonly Row[]; readonly affected: number }> {
  try {
    if (changesOnly.test(text)) return { rows: [], affected: await on.$executeRawUnsafe(text, ...params) }
    const rows = (await on.$queryRawUnsafe(text, ...params)).map(plain)
    return { rows, affected: rows.length }
  } catch (error) {
    throw ofServer(error)
  }
}

/** The store's integers stay below 2^53. */
function plain(row: Row): Row {
  return Object.fromEntries(
    Object.entries(row).map(([name, value]) => [name, isNumeric(value) ? Number(value) : value]),
  )
}

/** A BigInt, or a Decimal. */
function isNumeric(value: unknown): boolean {
  return typeof value === 'bigint' || typeof (value as { toNumber?: unknown } | null)?.toNumber === 'function'
}

/** What a driver adapter has made of the library's error. */
interface AdapterCause {
  readonly kind?: string
  readonly originalCode?: string
  readonly originalMessage?: string
}

const lostKinds = new Set(['ConnectionClosed', 'DatabaseNotReachable', 'SocketTimeout'])
const transactionClosed = 'P2028'
/** From here on they are the library's own numbers: the server said nothing. */
const ownErrors = 45_000

/** The server's own error, where Prisma has wrapped one, as the library would throw it: with a SQLSTATE as code, or with a number. */
export function ofServer(error: unknown): unknown {
  const wrapped = adapterErrorOf(error)
  if (wrapped?.cause === undefined) return error
  const { kind = '', originalCode = '', originalMessage } = wrapped.cause
  const number = Number(originalCode)
  const isLost = lostKinds.has(kind) || number >= ownErrors
  const isNumbered = /^\d{4}$/.test(originalCode)
  const known = isLost
    ? { code: 'ECONNRESET' }
    : isNumbered
      ? { errno: number, sqlState: 'HY000' }
      : { code: originalCode }
  return Object.assign(new Error(originalMessage ?? reasonOf(error), { cause: wrapped }), known)
}

export function isTransactionClosed(error: unknown): boolean {
  return (error as { code?: unknown } | null)?.code === transactionClosed
}

function adapterErrorOf(error: unknown): { readonly cause?: AdapterCause } | undefined {
  const { name, meta } = (error ?? {}) as {
    readonly name?: unknown
    readonly meta?: { readonly driverAdapterError?: unknown }
  }
  if (name === 'DriverAdapterError') return error as { readonly cause?: AdapterCause }
  return meta?.driverAdapterError === undefined ? undefined : adapterErrorOf(meta.driverAdapterError)
}

/**
 * The client, but each of its operations is looked at first, and what the server says of each that fails. The text of one without SQL is ''.
 * What it throws is Prisma's error, with the server's as its `cause`.
 */
export function looking(
  client: AnyPrisma,
  look: (text: string) => void,
  failed: (server: unknown) => void,
): AnyPrisma {
  return client.$extends({
    name: 'waybill',
    query: {
      $allOperations: async ({ args, query }: Operation) => {
        const text = textOf(args)
        look(text)
        try {
          return await query(args)
        } catch (error) {
          const server = ofServer(error)
          failed(server)
          throw server === error ? error : withCause(error as object, text, server)
        }
      },
    },
  })
}

/** Stores look through an error that has the text of a statement and a cause, as Drizzle's have. */
function withCause(error: object, query: string, cause: unknown): object {
  return Object.defineProperties(error, {
    query: { value: query, configurable: true },
    cause: { value: cause, configurable: true },
  })
}

interface Operation {
  readonly args: unknown
  query(args: unknown): Promise<unknown>
}

/** Of the `Unsafe` ones a list that begins with the text, of the others an object with its pieces; models have no text. */
function textOf(args: unknown): string {
  if (Array.isArray(args) && typeof args[0] === 'string') return args[0]
  const { strings, sql } = (args ?? {}) as { readonly strings?: unknown; readonly sql?: unknown }
  if (Array.isArray(strings)) return strings.join('?')
  return typeof sql === 'string' ? sql : ''
}
