import { describe, expect, test } from 'vitest'
import {
  OrderPaid,
  consume,
  dead,
  effect,
  effects,
  numbers,
  open,
  operator,
  publish,
  settled,
  waybill,
} from '../consume/shop.fixture.ts'
import { until } from '../testing/until.ts'

const group = 'red-packet'

/** Another group has handled all of them: had this one wanted to, it would have begun long ago. */
async function othersHandled(count: number): Promise<void> {
  await until('the other group has handled all', async () => (await effects('points')).length === count)
}

function consumeInBoth(): void {
  consume({}, (n, tx) => effect(tx, n))
  consume({ group: 'points' }, (n, tx) => effect(tx, n, 'points'))
}

describe('a paused group', () => {
  test('handles nothing until it is resumed, then everything once; other groups go on', async () => {
    consumeInBoth()
    await waybill.start()
    expect(await waybill.groups.pause(group, operator)).toBe(true)
    await publish(30)
    await othersHandled(30)
    expect(await effects()).toEqual([])
    const [points, paused] = await waybill.groups.list()
    expect(points).toMatchObject({ name: 'points', paused: null, instances: 1, waiting: 0 })
    expect(paused).toMatchObject({ name: group, paused: operator, instances: 1, waiting: 30 })
    expect(await waybill.groups.resume(group, operator)).toBe(true)
    await settled(30)
    expect((await effects()).toSorted((a, b) => a - b)).toEqual(numbers(30))
  })

  test('is paused in instances that start later, and is let go on by another process', async () => {
    consumeInBoth()
    await waybill.start()
    await waybill.groups.pause(group, operator)
    await waybill.stop()
    open()
    consumeInBoth()
    await waybill.start()
    await publish(5)
    await othersHandled(5)
    expect(await effects()).toEqual([])
    const operating = open()
    await operating.groups.resume(group, operator)
    await settled(5)
    expect((await effects()).toSorted()).toEqual(numbers(5))
  })

  test('charges nothing: a message that was retrying has its retries left, and is tried when the group goes on', async () => {
    const attempts: number[] = []
    let isHealthy = false
    consume({}, (n, tx, attempt) => {
      attempts.push(attempt)
      if (!isHealthy) throw new Error('down')
      effect(tx, n)
    })
    consume({ group: 'points' }, (n, tx) => effect(tx, n, 'points'))
    await waybill.start()
    await waybill.groups.pause(group, operator)
    await publish(1)
    await othersHandled(1)
    expect(attempts).toEqual([])
    isHealthy = true
    await waybill.groups.resume(group, operator)
    await settled(1)
    expect(attempts).toEqual([1])
  })

  test('can be stopped: it is not waited for', async () => {
    consumeInBoth()
    await waybill.start()
    await waybill.groups.pause(group, operator)
    await publish(3)
    await othersHandled(3)
    await waybill.stop()
    expect(await open().groups.list()).toMatchObject([{}, { name: group, instances: 0, waiting: 3 }])
  })

  test('needs who and why; one that nobody declared is group.unknown', async () => {
    const nobody = { by: 'ann', because: '' }
    for (const act of ['pause', 'resume', 'remove'] as const) {
      await expect(waybill.groups[act](group, nobody)).rejects.toMatchObject({ code: 'config.invalid' })
      await expect(waybill.groups[act](group, operator)).rejects.toMatchObject({ code: 'group.unknown' })
    }
  })
})

describe('a group that is removed', () => {
  test('P26: only when nobody runs it and nothing of it is open, or is abandoned; the same name repeats nothing', async () => {
    consume({}, (n, tx) => {
      if (n === 2) throw new Error('no such user')
      effect(tx, n)
    })
    await waybill.start()
    await publish(3)
    await settled(2)
    await dead(1)
    await expect(waybill.groups.remove(group, operator, { abandon: true })).rejects.toMatchObject({
      code: 'group.in-use',
    })
    await waybill.stop()
    open()
    await expect(waybill.groups.remove(group, operator)).rejects.toMatchObject({
      code: 'group.not-empty',
      facts: { dead: 1, waiting: 0 },
    })
    await waybill.groups.remove(group, operator, { abandon: true })
    expect(await waybill.groups.list()).toEqual([])
    expect(await waybill.deadLetters.list()).toEqual([])

    await publish(1, undefined, 4)
    consume({}, (n, tx) => effect(tx, n))
    await waybill.start()
    await settled(3)
    expect((await effects()).toSorted()).toEqual([1, 3, 4])
    expect(await waybill.search({ key: '2' })).toMatchObject([{ groups: [{ state: 'discarded' }] }])
  })

  test('P26: one that comes again says where it begins', async () => {
    consume({}, (n, tx) => effect(tx, n))
    await waybill.start()
    await publish(2)
    await settled(2)
    await waybill.stop()
    open()
    await waybill.groups.remove(group, operator)
    waybill.consume(OrderPaid, { group }, () => {})
    await expect(waybill.start()).rejects.toMatchObject({ code: 'group.start-position-needed' })
  })
})

test('a redrive that is started while the service runs is worked on, at its rate, and each message is handled once', async () => {
  let isHealthy = false
  consume({}, (n, tx) => {
    if (!isHealthy) throw new Error('down')
    effect(tx, n)
  })
  await waybill.start()
  await publish(12)
  await dead(12)
  isHealthy = true
  const { id } = await waybill.redrives.start({ group }, { perSecond: 100, ...operator })
  await settled(12)
  expect((await effects()).toSorted((a, b) => a - b)).toEqual(numbers(12))
  await until('it is done', async () => (await waybill.redrives.show(id)).state === 'done')
})
