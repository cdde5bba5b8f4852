import { groups } from '../shared/order-paid.ts'
import { connect, type Connected, type Dialect, type Row } from './server.ts'
import { type AnyWitness, committedQuery, effectOf, effectsQuery, type TimedEffect } from './witness.ts'

/** The witness of databases on a server: it looks once the services are up, so that their tables are there. */
export class ServerWitness implements AnyWitness {
  readonly keyColumn: 'key' | 'msg_key'
  readonly #databases: ReadonlyMap<string, Connected>

  private constructor(dialect: Dialect, databases: ReadonlyMap<string, Connected>) {
    this.keyColumn = dialect === 'postgres' ? 'key' : 'msg_key'
    this.#databases = databases
  }

  static async open(dialect: Dialect, urlOf: (service: string) => string): Promise<ServerWitness> {
    const connected = ['order', ...groups].map(
      async (service) => [service, await connect(urlOf(service))] as const,
    )
    return new ServerWitness(dialect, new Map(await Promise.all(connected)))
  }

  committedCount(): Promise<number> {
    return this.#count('order', 'orders')
  }

  effectCount(group: string): Promise<number> {
    return this.#count(group, 'effects')
  }

  async committed(): Promise<Set<string>> {
    return new Set((await this.rows('order', 'orders', committedQuery)).map((row) => String(row['id'])))
  }

  async effects(group: string): Promise<TimedEffect[]> {
    return (await this.rows(group, 'effects', effectsQuery)).map((row) => effectOf(group, row))
  }

  rows(service: string, _table: string, query: string): Promise<readonly Row[]> {
    return this.#databases.get(service)!.query(query)
  }

  async close(): Promise<void> {
    await Promise.all([...this.#databases.values()].map((database) => database.end()))
  }

  async #count(service: string, table: string): Promise<number> {
    const [row] = await this.rows(service, table, `select count(*) as count from ${table}`)
    return Number(row?.['count'])
  }
}
