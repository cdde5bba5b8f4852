import { DataSource, type EntityManager, EntitySchema } from 'typeorm'
import { testTool } from './mysql-handles.fixture.ts'
import { typeorm } from './typeorm.ts'

const Business = new EntitySchema<{ n: number; text: string }>({
  name: 'business',
  columns: { n: { type: Number, primary: true }, text: { type: String } },
})

for (const type of ['mysql', 'mariadb'] as const)
  await testTool<EntityManager>({
    name: `TypeORM of type ${type}`,
    connect: async (url) => {
      const dataSource = new DataSource({ type, url, poolSize: 20, entities: [Business] })
      const isThere = await dataSource.initialize().then(
        () => true,
        () => false,
      )
      return {
        database: (options) => typeorm(dataSource, options),
        run: (tx, text, params) => tx.query(text, [...params]),
        write: (tx) => tx.getRepository(Business).update(1, { text: 'written' }),
        transaction: (work) => dataSource.transaction(work),
        root: dataSource.manager,
        close: async () => isThere && dataSource.destroy(),
      }
    },
    notClaimed: {
      'a transaction that is over is refused: after its commit, its rollback, and inside the next one':
        'not claimed: TypeORM refuses a released manager itself, with its own error',
      'a server that is not there is refused':
        'not claimed: TypeORM connects in initialize(), before Waybill sees the data source',
    },
  })
