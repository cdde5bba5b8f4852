import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'

export interface TestPrisma {
  $transaction<R>(work: (tx: TestPrisma) => Promise<R>): Promise<R>
  $queryRawUnsafe(text: string, ...values: readonly unknown[]): Promise<unknown>
  $executeRawUnsafe(text: string, ...values: readonly unknown[]): Promise<unknown>
  readonly effect: { create(given: { data: { id: string } }): Promise<unknown> }
  readonly business: { update(given: { where: { n: number }; data: { text: string } }): Promise<unknown> }
  $disconnect(): Promise<void>
}
export type TestPrismaClient = new (options: { adapter: object }) => TestPrisma

/** Where generated clients are for a while: in the project, so that they find their packages. */
const reports = '.reports'
const require = createRequire(import.meta.url)

/**
 * Makes a client as `prisma generate` does, with the generator that the command itself uses: the command would bring 230 MB and
 * download an engine that Prisma 7 does not use any more. `use` gets the folder, which is gone afterwards.
 */
export async function withGenerated<R>(
  provider: 'postgresql' | 'mysql',
  use: (folder: string) => Promise<R>,
): Promise<R> {
  const { PrismaClientTsGenerator } = require('@prisma/client-generator-ts')
  const { getConfig, getDMMF } = require('@prisma/internals')
  mkdirSync(reports, { recursive: true })
  const folder = mkdtempSync(join(reports, `prisma-${provider}-`))
  try {
    const schemaPath = resolve(folder, 'schema.prisma')
    const datamodel = schemaOf(provider)
    const { generators, datasources } = await getConfig({ datamodel: [[schemaPath, datamodel]] })
    const [generator] = generators
    generator.output = { fromEnvVar: null, value: resolve(folder, 'client') }
    await new PrismaClientTsGenerator().generate({
      generator,
      otherGenerators: [],
      schemaPath,
      datamodel,
      dmmf: await getDMMF({ datamodel }),
      datasources,
      version: engineVersion(),
    })
    return await use(folder)
  } finally {
    rmSync(folder, { recursive: true })
  }
}

export function importClient(folder: string): Promise<{ PrismaClient: TestPrismaClient }> {
  return import(pathToFileURL(resolve(folder, 'client/client.ts')).href)
}

function schemaOf(provider: string): string {
  return `
generator client {
  provider   = "prisma-client"
  output     = "./client"
  engineType = "client"
}

datasource db {
  provider = "${provider}"
}

model Effect {
  id String @id

  @@map("prisma_effects")
}

model Business {
  n    Int    @id
  text String

  @@map("business")
}
`
}

function engineVersion(): string {
  const path = require.resolve('@prisma/engines-version/package.json')
  return JSON.parse(readFileSync(path, 'utf8')).prisma.enginesVersion
}
