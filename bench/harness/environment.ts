import { closeSync, fdatasyncSync, openSync, rmSync, statfsSync, writeSync } from 'node:fs'
import { cpus, loadavg, release, totalmem, type } from 'node:os'
import { join } from 'node:path'
import { nowMs } from './clock.ts'
import { median } from './statistics.ts'

export interface Environment {
  readonly node: string
  readonly sqlite: string
  readonly os: string
  readonly cpu: string
  readonly cores: number
  readonly memoryGiB: number
  /** On a file system in memory a sync costs nothing, and the figures say nothing about a disk. */
  readonly disk: 'disk' | 'memory' | 'unknown'
  /** Median of overwriting 8 KiB and waiting until the disk has them: the least that a commit costs here. */
  readonly syncMs: number
  /** Average number of runnable threads over the last minute when the run began: above the cores, others were busy too. */
  readonly load: number
}

const tmpfs = 0x01021994
const ramfs = 0x858458f6

export function environmentOf(folder: string): Environment {
  const processors = cpus()
  return {
    node: process.versions.node,
    sqlite: process.versions.sqlite ?? 'unknown',
    os: `${type()} ${release()}`,
    cpu: processors[0]?.model.trim() ?? 'unknown',
    cores: processors.length,
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    disk: diskOf(folder),
    syncMs: syncMs(folder),
    load: Math.round(loadavg()[0]! * 100) / 100,
  }
}

function diskOf(folder: string): Environment['disk'] {
  if (process.platform !== 'linux') return 'unknown'
  const { type: kind } = statfsSync(folder)
  return kind === tmpfs || kind === ramfs ? 'memory' : 'disk'
}

const syncs = 200
const syncBytes = 8192

function syncMs(folder: string): number {
  const path = join(folder, 'sync')
  const file = openSync(path, 'w')
  const bytes = new Uint8Array(syncBytes).fill(1)
  const writeAt = (place: number): number => {
    const startMs = nowMs()
    writeSync(file, bytes, 0, syncBytes, place * syncBytes)
    fdatasyncSync(file)
    return nowMs() - startMs
  }
  const places = Array.from({ length: syncs }, (_, place) => place)
  for (const place of places) writeAt(place)
  const tookMs = median(places.map(writeAt))
  closeSync(file)
  rmSync(path)
  return Math.round(tookMs * 1000) / 1000
}

export function describeEnvironment(environment: Environment): string {
  const { node, sqlite, os, cpu, cores, memoryGiB, disk, syncMs: sync, load } = environment
  const where = disk === 'memory' ? ' · IN MEMORY: syncs cost nothing here' : ''
  return `Node ${node} · SQLite ${sqlite} · ${os} · ${cores} × ${cpu} · ${memoryGiB} GiB · a sync takes ${sync} ms · load ${load}${where}`
}
