/**
 * For the programs of a case: the places where the harness may strike. A process dies there as by `kill -9`, if `Services.killAt`
 * told it to; otherwise, and in a shell, nothing happens.
 *
 *   insertEffect(database, …)
 *   mayDieAt('worked, not acknowledged')
 *   await broker.acknowledge(…)
 *
 * Waybill has such places of its own (`crashPointNames` of 'waybill/testing'): `new Waybill({ …, ports: { reached: mayDieAt } })`.
 */

const points = new Set<string>()

process.on('message', (message: { readonly kind?: unknown; readonly point?: unknown }) => {
  if (message.kind !== 'die-at') return
  points.add(String(message.point))
  process.send?.({ kind: 'will-die-at', point: message.point })
})
// Listening alone should not keep a process from ending.
process.channel?.unref()

export function mayDieAt(point: string): void {
  if (!points.has(point)) return
  process.kill(process.pid, 'SIGKILL')
  // Between the signal and its delivery not one more statement may run.
  Atomics.wait(new Int32Array(new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT)), 0, 0)
}
