/** What the user got wrong: exit status 2. */
export class UsageError extends Error {}
