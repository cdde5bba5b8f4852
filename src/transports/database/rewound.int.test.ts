import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { requireInstalled, requireService } from '../../../scripts/services/index.ts'
import { Fleet, Servers, expectOnceEach, numbers } from './rewound.fixture.ts'

/** P12, P13: a server is stopped, an older copy of its data is put under it, and it is started again. */
for (const kind of ['postgres', 'mariadb'] as const) {
  const found = await requireService(kind)
  const installed = await requireInstalled(kind)

  // Much of the time is waiting: both kinds at once take little longer than one.
  describe.skipIf('skipped' in found || 'skipped' in installed)(
    `a ${kind} server`,
    { concurrent: true },
    () => {
      describe('is put back to an older copy', { concurrent: false }, () => {
        const servers = new Servers(kind, (found as { url: string }).url)
        afterAll(() => servers.close())

        test('P12: the log between: positions that are given again, to other messages, are not taken for what had landed before', async () => {
          await using f = await Fleet.start(servers, 'broker')
          await f.publish(1, 20)
          await f.untilEffects(...numbers(1, 20))
          const copy = await f.copy('broker')
          await f.publish(21, 40)
          await f.untilEffects(...numbers(21, 40))
          await f.putBack('broker', copy)
          await f.publish(41, 60)
          await expectOnceEach(f, ...numbers(1, 60))
        })

        test('P12: the same while nobody looks: services that start after it find out', async () => {
          await using f = await Fleet.start(servers, 'broker')
          await f.publish(1, 20)
          await f.untilEffects(...numbers(1, 20))
          const copy = await f.copy('broker')
          await f.publish(21, 40)
          await f.untilEffects(...numbers(21, 40))
          await f.stopServices()
          await f.putBack('broker', copy)
          await f.startServices()
          await f.publish(41, 60)
          await expectOnceEach(f, ...numbers(1, 60))
        })

        test('P13: the log between, before the consumer had landed what it lost: the relay sees it, and sends it again', async () => {
          await using f = await Fleet.start(servers, 'broker')
          await f.publish(1, 20)
          await f.untilEffects(...numbers(1, 20))
          const copy = await f.copy('broker')
          await f.stopConsumer()
          await f.publish(21, 40)
          await f.untilSent()
          await f.putBack('broker', copy)
          await f.startConsumer()
          await expectOnceEach(f, ...numbers(1, 40))
          await f.publish(41, 60)
          await expectOnceEach(f, ...numbers(1, 60))
        })

        test('P13: the consumer’s: it gets again what it lost, also where nothing new comes', async () => {
          await using f = await Fleet.start(servers, 'coupon')
          await f.publish(1, 20)
          await f.untilEffects(...numbers(1, 20))
          const copy = await f.copy('coupon')
          await f.publish(21, 40)
          await f.untilEffects(...numbers(21, 40))
          await f.putBack('coupon', copy)
          await expectOnceEach(f, ...numbers(1, 40))
          await f.publish(41, 60)
          await expectOnceEach(f, ...numbers(1, 60))
        })

        test('P12: first the log between, then the consumer’s, to a copy that knows the positions of the former history', async () => {
          await using f = await Fleet.start(servers, 'broker', 'coupon')
          await f.publish(1, 20)
          await f.untilEffects(...numbers(1, 20))
          const copy = await f.copy('broker')
          await f.publish(21, 40)
          await f.untilEffects(...numbers(21, 40))
          const consumed = await f.copy('coupon')
          await f.putBack('broker', copy)
          await f.publish(41, 60)
          await f.untilEffects(...numbers(41, 60))
          await f.publish(61, 70)
          await f.untilEffects(...numbers(61, 70))
          await f.putBack('coupon', consumed)
          await f.publish(71, 80)
          await expectOnceEach(f, ...numbers(1, 80))
        })

        test('the publisher’s: what it lost had been sent and stays, what it publishes now arrives, and it says that messages are lost', async () => {
          await using f = await Fleet.start(servers, 'order')
          await f.publish(1, 20)
          await f.untilEffects(...numbers(1, 20))
          const copy = await f.copy('order')
          await f.publish(21, 40)
          await f.untilEffects(...numbers(21, 40))
          await f.putBack('order', copy)
          await f.untilSaid(/messages are lost/)
          await f.publish(41, 60)
          await expectOnceEach(f, ...numbers(1, 60))
          const audited = await f.ask('order', "select grp from waybill_audit where action = 'epoch'")
          expect(audited).toContainEqual({ grp: '@relay' })
        })

        const notClaimed = kind === 'postgres' ? '' : ' (not claimed: MariaDB has no timelines)'
        test.skipIf(kind !== 'postgres')(
          `P12: a recovery to a point in time: the timeline is another one, which begins an epoch and is on record${notClaimed}`,
          async () => {
            await using f = await Fleet.start(servers, 'broker')
            const timeline = (): ReturnType<Fleet['ask']> =>
              f.ask('broker', 'select waybill_timeline() as timeline')
            const before = await timeline()
            await f.publish(1, 20)
            await f.untilEffects(...numbers(1, 20))
            const copy = await f.copy('broker')
            await f.publish(21, 40)
            await f.untilEffects(...numbers(21, 40))
            await f.putBack('broker', copy, (dataFolder) =>
              writeFileSync(join(dataFolder, 'recovery.signal'), ''),
            )
            await f.publish(41, 60)
            await expectOnceEach(f, ...numbers(1, 60))
            expect(await timeline()).not.toEqual(before)
            const audited = await f.ask('broker', "select because from waybill_audit where action = 'epoch'")
            expect(audited.length).toBeGreaterThan(0)
          },
        )
      })
    },
  )
}
