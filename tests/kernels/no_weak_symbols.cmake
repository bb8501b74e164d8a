# cmake -DNM=nm -DOBJECTS=a.o,b.o -P no_weak_symbols.cmake
#
# The objects of one ISA may define nothing that the linker would merge with another ISA's copy: it
# would keep the AVX-512 one for everybody.
string(REPLACE "," ";" OBJECTS "${OBJECTS}")
list(LENGTH OBJECTS count)
if(count EQUAL 0)
  message(FATAL_ERROR "no objects")
endif()
foreach(object IN LISTS OBJECTS)
  execute_process(
    COMMAND ${NM} -C --defined-only ${object} OUTPUT_VARIABLE symbols COMMAND_ERROR_IS_FATAL ANY)
  if(NOT symbols MATCHES " T polyops::cpu::")
    message(FATAL_ERROR "${object}: no kernel list in it; is this the right object?\n${symbols}")
  endif()
  string(REGEX MATCHALL "[^\n]* [WVuvw] [^\n]*" weak "${symbols}")
  if(weak)
    list(JOIN weak "\n" weak)
    message(SEND_ERROR "${object} defines symbols shared between ISAs:\n${weak}")
  endif()
endforeach()
message(STATUS "${count} objects, no weak symbol")
