/** The version of this package. */
export const version: string = HLSWARM_VERSION;

/** Put in by the build, from `package.json`. */
declare const HLSWARM_VERSION: string;
