import { type EntityManager, EntitySchema, MikroORM } from '@mikro-orm/postgresql'
import { mikroOrm } from './mikro-orm.ts'
import { testTool } from './postgres-handles.fixture.ts'

const Business = new EntitySchema<{ n: number; text: string }>({
  name: 'Business',
  tableName: 'business',
  properties: { n: { type: 'number', primary: true }, text: { type: 'string' } },
})

await testTool<EntityManager>({
  name: 'MikroORM',
  notClaimed: {
    'a COMMIT that was not answered is told apart from one that failed':
      'not claimed: MikroORM never gives such a connection back to its pool',
  },
  connect: async (url) => {
    const orm = await MikroORM.init({ clientUrl: url, entities: [Business], pool: { max: 20 } })
    return {
      database: (options) => mikroOrm(orm, options),
      run: async (tx, text, params) => tx.execute(text.replaceAll(/\$\d/g, '?'), [...params], 'run'),
      // Sent before COMMIT.
      write: async (tx) => {
        const row = await tx.findOneOrFail(Business, { n: 1 })
        row.text = 'written'
      },
      transaction: (work) => orm.em.fork().transactional(work),
      root: orm.em.fork(),
      close: () => orm.close(),
    }
  },
})
