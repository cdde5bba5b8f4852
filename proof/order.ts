/**
 * `npm run proof:order -- --database postgres://… --messages 1000000`: is every committed message read once, in the order of its key,
 * and does none wait for another's transaction? Writers hold, abort, save and prepare their transactions at random; the reader is
 * there before the first of them, and is replaced again and again.
 */
import { parseArgs } from 'node:util'
import { prove } from './order/prove.ts'

const { values } = parseArgs({
  options: {
    database: { type: 'string' },
    messages: { type: 'string', default: '20000' },
    writers: { type: 'string', default: '8' },
    seed: { type: 'string', default: '1' },
    naive: { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
  },
})
if (values.database === undefined) {
  process.stderr.write(
    'say which database: --database postgres://user@127.0.0.1:5432/name, or --database sqlite:FOLDER\n',
  )
  process.exit(2)
}
const result = await prove({
  database: values.database,
  messages: Number(values.messages),
  writers: Number(values.writers),
  seed: Number(values.seed),
  reader: values.naive ? 'naive' : 'waybill',
  say: (line) => process.stderr.write(`${line}\n`),
})
process.stdout.write(
  values.json
    ? `${JSON.stringify(result)}\n`
    : `${result.published} committed, ${result.skipped} skipped, ${result.twice} twice, ${result.misordered} out of order, longest wait of a message that was not held ${result.longestWaitMs} ms (a transaction was open for ${result.holdMs} ms), ${result.readers} readers, ${result.perSecond}/s\n`,
)
if (result.skipped + result.twice + result.misordered > 0 || result.isStalled) process.exitCode = 1
