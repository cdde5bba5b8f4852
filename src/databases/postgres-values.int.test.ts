import { Pool } from 'pg'
import { expect, test } from 'vitest'
import { requireService } from '../../scripts/services/index.ts'
import { types } from './pg-pool.ts'

const found = await requireService('postgres')
const bytes = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte))

test.skipIf('skipped' in found).each(['hex', 'escape'])(
  'bytes come back byte for byte where bytea_output is %s',
  async (output) => {
    const pool = new Pool({
      connectionString: 'url' in found ? found.url : '',
      options: `-c bytea_output=${output}`,
    })
    const { rows } = await pool.query({ text: 'select $1::bytea as bytes', values: [bytes], types })
    await pool.end()
    expect(Buffer.compare(rows[0].bytes, bytes)).toBe(0)
  },
)
