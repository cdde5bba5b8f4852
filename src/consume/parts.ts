import type { DependencyGate } from '../core/dependencies.ts'
import type { EffectParts } from './effect.ts'
import type { HandlerGate } from './handler-gate.ts'

/** What delivering needs. */
export interface DeliveryParts<Tx> extends EffectParts<Tx> {
  /** Left out for a group without dependencies. */
  readonly dependencies: DependencyGate | undefined
}

/** What a group's reader and all that it delegates to work with. */
export interface GroupReaderParts<Tx> extends DeliveryParts<Tx> {
  readonly gate: HandlerGate
  /** Messages older than this are past the receipts' horizon and are never run (P6). */
  readonly receiptHorizonMs: number
}
