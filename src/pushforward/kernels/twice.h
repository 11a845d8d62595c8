/* SOURCE once for float and once for double: what it defines by NAME has a name in either, and its macros end with it. */

#define REAL float
#define NAME(name) name##_float
#include SOURCE
#include "forget.h"
#define REAL double
#define NAME(name) name##_double
#include SOURCE
#include "forget.h"
