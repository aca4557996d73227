/** Of the program, by which an agent begins a holder. Apart from the forms: every command asks whether it is this one. */
export const HOLDER_COMMAND = "remote-holder";
