/** What a message may be. Bytes are UTF-8. */
export const bodyBytesDefault = 1024 * 1024
export const bodyBytesMax = 4 * 1024 * 1024
export const textBytesMax = 255
export const headersMax = 64
export const headerBytesMax = 1024
