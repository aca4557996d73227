/**
 * Preloaded into an agent: every random wait becomes the shortest one, so that a workload that ends at once is started
 * again at once, thousands of times. Plain JavaScript, so that Node need not carry a compiler into the agent under test.
 */
Math.random = () => 0;
