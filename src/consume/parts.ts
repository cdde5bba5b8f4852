import type { EffectParts } from './effect.ts'
import type { HandlerGate } from './handler-gate.ts'

/** What a group's reader and all that it delegates to work with. */
export interface GroupReaderParts<Tx> extends EffectParts<Tx> {
  readonly gate: HandlerGate
  /** Messages older than this are past the receipts' horizon and are never run (P6). */
  readonly receiptHorizonMs: number
}
