/**
 * Reads the documentation for its tests. HTML comments, which readers do not see, say how a code block is tested:
 *
 *   <!-- file: order.mts -->     the next block is a whole program; a test writes it to this file and runs it
 *   <!-- setup                   TypeScript that the blocks after it stand on, up to the next setup comment
 *   declare const id: string
 *   -->
 *   <!-- setup: none -->         the blocks after it stand alone
 */
import { globSync, readFileSync } from 'node:fs'

/** Code and where it stands in its file, so that a compiler's message points at the document. */
export interface Code {
  readonly text: string
  /** The first line of the code, from 1. */
  readonly line: number
}

export interface CodeBlock extends Code {
  readonly language: string
  readonly file: string | undefined
  readonly setup: Code | undefined
}

export interface Link {
  readonly target: string
  readonly line: number
}

/** Paths of all documents, relative to the project's root. */
export function markdownFiles(): readonly string[] {
  const ignored = new Set(['node_modules', 'dist', '.git', '.reports', 'coverage'])
  return globSync('**/*.md', { exclude: (name) => ignored.has(name) }).toSorted()
}

export function codeBlocks(file: string): readonly CodeBlock[] {
  const lines = linesOf(file)
  const blocks: CodeBlock[] = []
  let setup: Code | undefined
  let name: string | undefined
  for (let i = 0; i < lines.length; i++) {
    const line = lines[i]!
    if (line.startsWith('<!-- setup: none')) setup = undefined
    else if (line.trim() === '<!-- setup') {
      const end = lines.indexOf('-->', i)
      setup = codeOf(lines, i + 1, end)
      i = end
    } else if (line.startsWith('<!-- file: ')) name = line.slice('<!-- file: '.length, -' -->'.length)
    else if (line.startsWith('```')) {
      const end = lines.indexOf('```', i + 1)
      blocks.push({ ...codeOf(lines, i + 1, end), language: line.slice(3), file: name, setup })
      name = undefined
      i = end
    }
  }
  return blocks
}

/** Links in the text, not those in code. */
export function links(file: string): readonly Link[] {
  return textOf(file).flatMap(({ text, line }) =>
    [...text.matchAll(/\]\(([^)\s]+)\)/g)].map((match) => ({ target: match[1]!, line })),
  )
}

/** The anchors that GitHub gives a document's headings. */
export function anchors(file: string): ReadonlySet<string> {
  const headings = textOf(file).filter(({ text }) => /^#{1,6} /.test(text))
  return new Set(
    headings.map(({ text }) =>
      text
        .replace(/^#+ /, '')
        .toLowerCase()
        .replace(/[^\p{L}\p{N}\p{M}\s_-]/gu, '')
        .replaceAll(' ', '-'),
    ),
  )
}

/** Everything but code blocks and comments; `code spans` lose their content where it could pass for a link. */
function textOf(file: string): readonly Code[] {
  const text: Code[] = []
  let inside: string | undefined
  linesOf(file).forEach((line, i) => {
    if (inside !== undefined) {
      if (line.startsWith(inside)) inside = undefined
    } else if (line.startsWith('```')) inside = '```'
    else if (line.startsWith('<!--')) inside = line.endsWith('-->') ? undefined : '-->'
    else text.push({ text: line.replace(/`[^`]*\]\([^`]*`/g, ''), line: i + 1 })
  })
  return text
}

function codeOf(lines: readonly string[], from: number, end: number): Code {
  if (end < 0) throw new Error(`the block that begins at line ${from} has no end`)
  return { text: lines.slice(from, end).join('\n'), line: from + 1 }
}

function linesOf(file: string): readonly string[] {
  return readFileSync(file, 'utf8').split('\n')
}
