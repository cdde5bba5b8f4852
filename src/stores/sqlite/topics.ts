import type { TopicDeclaration } from '../../core/store.ts'
import { checkSame } from '../sql/topic-rules.ts'
import type { SqliteConnection } from './driver.ts'

/**
 * The topics and their queue counts (P19). Remembers only what it saw committed, on the read connection: a row that a user's
 * transaction wrote may still be rolled back.
 */
export class Topics {
  readonly #reader: SqliteConnection
  readonly #committed = new Map<string, number>()

  constructor(reader: SqliteConnection) {
    this.#reader = reader
  }

  /** Makes sure that the topic exists, in the caller's transaction. Reads nothing once it was seen committed. */
  ensure(connection: SqliteConnection, topic: TopicDeclaration, now: number): void {
    const known = this.#committed.get(topic.name) ?? this.#lookUp(topic.name)
    if (known === undefined) {
      connection.run(
        'insert into waybill_topics (name, queues, created_at) values (?, ?, ?) on conflict do nothing',
        topic.name,
        topic.queues,
        now,
      )
      checkSame(topic, queuesIn(connection, topic.name) ?? topic.queues)
    } else checkSame(topic, known)
  }

  /** The number of queues that a topic has in this database, whatever another database says; creates it like `like` if it is new. */
  queuesOrCreate(connection: SqliteConnection, like: TopicDeclaration, now: number): number {
    const known = this.#committed.get(like.name) ?? this.#lookUp(like.name) ?? queuesIn(connection, like.name)
    if (known !== undefined) return known
    this.ensure(connection, like, now)
    return like.queues
  }

  list(): readonly TopicDeclaration[] {
    return this.#reader
      .all('select name, queues from waybill_topics order by name')
      .map((row) => ({ name: row['name'] as string, queues: row['queues'] as number }))
  }

  #lookUp(name: string): number | undefined {
    const queues = queuesIn(this.#reader, name)
    if (queues !== undefined) this.#committed.set(name, queues)
    return queues
  }
}

function queuesIn(connection: SqliteConnection, name: string): number | undefined {
  return connection.all('select queues from waybill_topics where name = ?', name)[0]?.['queues'] as
    | number
    | undefined
}
