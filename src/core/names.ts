import { WaybillError } from './errors.ts'

const nameForm = /^[a-z][a-z0-9._-]{0,99}$/
const rule = "a lower-case letter, then up to 99 of a-z, 0-9, '.', '_' and '-'"

/** @throws WaybillError `topic.name-invalid` */
export function checkTopicName(name: unknown): asserts name is string {
  if (typeof name !== 'string' || !nameForm.test(name)) {
    throw new WaybillError(
      'topic.name-invalid',
      `topic ${show(name)} is refused: a topic's name is ${rule}`,
      { name },
    )
  }
}

/** @throws WaybillError `group.name-invalid` */
export function checkGroupName(name: unknown): asserts name is string {
  if (typeof name !== 'string' || !nameForm.test(name)) {
    throw new WaybillError(
      'group.name-invalid',
      `consumer group ${show(name)} is refused: a group's name is ${rule}`,
      { name },
    )
  }
}

/** @throws WaybillError `config.invalid` */
export function checkServiceName(name: unknown): asserts name is string {
  if (typeof name !== 'string' || !nameForm.test(name)) {
    throw new WaybillError(
      'config.invalid',
      `service ${show(name)} is refused: a service's name is ${rule}`,
      { name },
    )
  }
}

/** @throws WaybillError `config.invalid` */
export function checkDependencyName(name: unknown): asserts name is string {
  if (typeof name !== 'string' || !nameForm.test(name)) {
    throw new WaybillError(
      'config.invalid',
      `dependency ${show(name)} is refused: a dependency's name is ${rule}`,
      { name },
    )
  }
}

/** Text that every database stores and compares unchanged: no NUL (PostgreSQL refuses it) and no half of a surrogate pair. */
export function isPlainText(text: string): boolean {
  return !text.includes('\u0000') && text.isWellFormed()
}

/** Whether the text has at most so many bytes in UTF-8. Counts them only where its length leaves it open: a unit takes three at most. */
export function fitsUtf8(text: string, bytesMax: number): boolean {
  return text.length * 3 <= bytesMax || (text.length <= bytesMax && utf8Length(text) <= bytesMax)
}

/** Bytes of the text in UTF-8, counted without encoding it. */
export function utf8Length(text: string): number {
  let bytes = text.length
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i)
    if (unit < 0x80) continue
    if (unit < 0x800) bytes += 1
    else if (unit >= 0xd800 && unit < 0xdc00 && i + 1 < text.length) {
      bytes += 2
      i++
    } else bytes += 2
  }
  return bytes
}

function show(name: unknown): string {
  return typeof name === 'string' ? JSON.stringify(name.slice(0, 120)) : String(name)
}
