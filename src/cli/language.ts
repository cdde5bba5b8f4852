import { type Command, Option } from 'commander'

export type Language = 'en' | 'zh'

export interface Spoken {
  readonly lang?: Language
}

export function spoken(command: Command): Command {
  return command.addOption(
    new Option('--lang <language>', 'default: Chinese where the locale is, such as LANG=zh_CN.UTF-8').choices(
      ['en', 'zh'],
    ),
  )
}

/** The one that was asked for, else that of the locale. */
export function languageOf(
  { lang }: Spoken,
  env: Readonly<Record<string, string | undefined>> = process.env,
): Language {
  if (lang) return lang
  // POSIX: the first that is set and not empty counts.
  const locale = env['LC_ALL'] || env['LC_MESSAGES'] || env['LANG'] || ''
  return locale.toLowerCase().startsWith('zh') ? 'zh' : 'en'
}
