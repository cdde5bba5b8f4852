import { Pool } from 'pg'
import { describe, expect, test } from 'vitest'
import { freshDatabase, requireService } from '../../../scripts/services/index.ts'
import { pg } from '../../databases/pg.ts'
import { Waybill } from '../../index.ts'

const found = await requireService('postgres')
const writers = 4
const rounds = 200_000

describe.skipIf('skipped' in found)('the sequence of the log on PostgreSQL', () => {
  test('P9: no position that is yet to be drawn lies below the floor of a window', async () => {
    await using database = await freshDatabase('postgres', 'url' in found ? found.url : '')
    const pool = new Pool({ connectionString: database.url, max: writers })
    const waybill = new Waybill({ service: 'order', database: pg(pool), migrate: 'auto' })
    await waybill.schema()

    expect(await drawnBelow(pool, 'waybill_floor()')).toBe(0)
    // The control: the row of the sequence is ahead of it while a WAL record is written.
    const plain =
      '(select case when is_called then last_value else last_value - 1 end from waybill_positions)'
    expect(await drawnBelow(pool, plain)).toBeGreaterThan(0)
    await waybill.stop()
    await pool.end()
  })
})

/** How often a position that was drawn after the floor was asked for lies below it. */
async function drawnBelow(pool: Pool, floor: string): Promise<number> {
  await pool.query(`create or replace function draw(rounds integer) returns bigint language plpgsql as $$
    declare
      lowest bigint;
      below bigint := 0;
    begin
      for i in 1..rounds loop
        lowest := ${floor};
        if nextval('waybill_positions') <= lowest then below := below + 1; end if;
      end loop;
      return below;
    end $$`)
  const draws = Array.from({ length: writers }, async () => {
    const { rows } = await pool.query<{ below: string }>('select draw($1) as below', [rounds])
    return Number(rows[0]!.below)
  })
  return (await Promise.all(draws)).reduce((sum, below) => sum + below, 0)
}
