/** Of the program, by which an agent begins its worker. Apart from the forms: every command asks whether it is this one. */
export const WORKER_COMMAND = "transfer-worker";
