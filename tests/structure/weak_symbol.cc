// What check_objects.py must find: a function that every unit with it shares.
inline int shared_by_all_units(int x) { return x + 1; }
int (*keep_it())(int);
int (*keep_it())(int) { return shared_by_all_units; }
