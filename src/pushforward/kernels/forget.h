/* The macros of SOURCE and of the headers that depend on REAL. */

#undef REAL
#undef NAME
#undef VECTORS
#undef COLUMNS
#undef PANELS
#undef SHUFFLE
#undef LANES
#undef BYTES
#undef ROWS
#undef MAX
