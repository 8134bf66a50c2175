/**
 * Base of every error that a user's input can cause. The message names the file and the thing, what was expected and
 * what was found, and what to do. Anything else that is thrown is a defect of this library.
 */
export class VoxquantError extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = new.target.name;
  }
}

/** A file is damaged, truncated, hostile, or not of the format that it should be. */
export class FormatError extends VoxquantError {}

/** A file or request is valid but asks for something that this library does not do. */
export class UnsupportedError extends VoxquantError {}

/** A model's configuration or a caller's option is missing or contradictory. */
export class ConfigError extends VoxquantError {}

/** A file, folder, tensor or URL is not there, or cannot be read or written. */
export class ResourceError extends VoxquantError {}

/** A backend is not available here, or does not fit the model. */
export class BackendError extends VoxquantError {}
