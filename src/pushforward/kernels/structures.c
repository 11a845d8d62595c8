/* The structures as text, for Python to make the same of, and their sizes, to see that they are the same. */

#include "structures.h"

#define TEXT(type, name) #type " " #name ";"
const char numbers_fields[] = NUMBERS(TEXT), layer_fields[] = LAYER(TEXT);
const ptrdiff_t numbers_size = sizeof(Numbers), layer_size = sizeof(Layer);
const int most = MOST, row_bytes = ROW_BYTES;
