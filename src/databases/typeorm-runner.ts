import type { DataSource, EntityManager, QueryRunner } from 'typeorm'

/** Begins a transaction for a user's work. */
export async function begunRunner(dataSource: DataSource): Promise<QueryRunner> {
  const runner = dataSource.createQueryRunner()
  try {
    await runner.connect()
    await runner.startTransaction('READ COMMITTED')
  } catch (error) {
    await runner.release()
    throw error
  }
  return runner
}

/** TypeORM refuses a released runner with an error of its own, before the guarded connection can. */
export function refuseWhenReleased(runner: QueryRunner, refuse: () => void): void {
  const query = runner.query.bind(runner)
  runner.query = async (...args: Parameters<QueryRunner['query']>) => {
    if (runner.isReleased) refuse()
    return query(...args)
  }
}

export function runnerOf(handle: unknown): QueryRunner | undefined {
  const { queryRunner, isTransactionActive } = (handle ?? {}) as Partial<EntityManager & QueryRunner>
  return typeof isTransactionActive === 'boolean' ? (handle as QueryRunner) : queryRunner
}

export function isManager(handle: unknown): boolean {
  const { transaction, getRepository } = (handle ?? {}) as Partial<EntityManager>
  return typeof transaction === 'function' && typeof getRepository === 'function'
}
