/* Put by `cc` into QuickJS-ng's source, where its reference counts are reached. What the build left in the heap lies
   below `podwire_frozen` (0 while it is made), every other block above. It is never freed, so nobody counts who uses it,
   and the page it lies in stays as it is in the file: it need not be copied. */
extern uintptr_t podwire_frozen;
static inline bool is_frozen(const void *p) { return (uintptr_t)p < podwire_frozen; }
static inline void count_up(const void *p) { if (!is_frozen(p)) js_rc(p)->ref_count++; }
static inline bool count_down(const void *p) { return !is_frozen(p) && --js_rc(p)->ref_count <= 0; }
/* wherever else a count is asked for or changed: many, so that what is frozen is copied before it is changed in place */
static int podwire_count = 1 << 30;
#define JS_REF_COUNT(p) (*(is_frozen(p) ? &podwire_count : &js_rc(p)->ref_count))
