import { PrismaMariaDb } from '@prisma/adapter-mariadb'
import { testTool } from './mysql-handles.fixture.ts'
import { type TestPrisma, importClient, withGenerated } from './prisma-client.fixture.ts'
import { prisma } from './prisma.ts'

const { PrismaClient } = await withGenerated('mysql', importClient)
const acquireMs = 5_000

await testTool<TestPrisma>({
  name: 'Prisma on mariadb',
  connect: async (url) => {
    const { hostname: host, port, username: user, password, pathname } = new URL(url)
    const schema = pathname.slice(1)
    const adapter = new PrismaMariaDb({
      host,
      port: Number(port),
      user,
      password,
      database: schema,
      connectionLimit: 10,
      // It would open all of them at once.
      minimumIdle: 1,
      acquireTimeout: acquireMs,
    })
    const client = new PrismaClient({ adapter })
    return {
      database: (options) => prisma(client, { schema, ...options }),
      run: (tx, text, params) => tx.$executeRawUnsafe(text, ...params),
      write: (tx) => tx.business.update({ where: { n: 1 }, data: { text: 'written' } }),
      transaction: (work) => client.$transaction(work),
      root: client,
      close: () => client.$disconnect(),
    }
  },
})
