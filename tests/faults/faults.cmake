# The fault loops: our own code's allocator, clock and password cost are the test's.
file(GLOB FAULT_SOURCES CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/faults/*.c)
if(NOT JIPAN_FUZZ)
    # The command line is there for its table of verbs.
    file(GLOB FAULT_CLI CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/cli/*.c)
    list(REMOVE_ITEM FAULT_CLI ${CMAKE_SOURCE_DIR}/cli/main.c) # in command_line.c
    add_executable(fault_loops ${FAULT_SOURCES} ${FAULT_CLI})
    target_include_directories(fault_loops PRIVATE ${CMAKE_BINARY_DIR}/schema)
    target_link_libraries(fault_loops PRIVATE jipan_strict testlib)
    foreach(name malloc calloc realloc strdup free sodium_malloc crypto_pwhash_str clock_gettime mem_alloc mem_resize
        arena_alloc arena_array arena_dup arena_cstr)
        target_link_options(fault_loops PRIVATE -Wl,--wrap=${name})
    endforeach()
endif()
