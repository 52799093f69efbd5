# jipan_next: the program as a later version may be, for tests of version skew. The same sources, with a catalogue that has
# more in it and with kinds of change that this version does not know. Nothing of it is in the product: the files that differ
# are copied into the build with the edits below, and their folder stands first in the include path. An edit whose place does
# not stand exactly once in its file stops the configuration.
#
# The stores of tests/golden hold what this program wrote, for ever. So its numbers are kept for tests and no version of the
# product may use them: entities and fields 60 to 63, codes from 9900 on, cells of kind 6, the hint 08 and the critical flag 40
# of groups (docs/PROTOCOL.md section 9).
set(NEXT_DIR ${CMAKE_CURRENT_BINARY_DIR}/next)
set(NEXT_FILES)

# next_edit(FILE PLACE TEXT): TEXT instead of PLACE.
function(next_edit file place text)
    get_property(edited GLOBAL PROPERTY next_text_${file})
    if("${edited}" STREQUAL "")
        file(READ ${CMAKE_SOURCE_DIR}/${file} edited)
        set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/${file})
        set(NEXT_FILES ${NEXT_FILES} ${file} PARENT_SCOPE)
    endif()
    string(FIND "${edited}" "${place}" first)
    string(FIND "${edited}" "${place}" last REVERSE)
    if(first EQUAL -1 OR NOT first EQUAL last)
        message(FATAL_ERROR "tests/next: '${place}' does not stand once in ${file}")
    endif()
    string(REPLACE "${place}" "${text}" edited "${edited}")
    set_property(GLOBAL PROPERTY next_text_${file} "${edited}")
endfunction()

# next_insert(FILE PLACE OTHER): the content of tests/next/OTHER before PLACE.
macro(next_insert file place other)
    file(READ ${CMAKE_CURRENT_SOURCE_DIR}/next/${other} NEXT_MORE)
    set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/next/${other})
    next_edit(${file} "${place}" "${NEXT_MORE}${place}")
endmacro()

# The catalogue: fields, an entity, a code in the middle of a ranking, and who may do what with them.
next_edit(schema/catalogue.h "CATALOGUE_REVISION = 1 " "CATALOGUE_REVISION = 2 ")
next_edit(schema/catalogue.h "X(STATION, 35, station, GROUP_BOOK)" "X(STATION, 35, station, GROUP_BOOK) X(LOYALTY_CARD, 60, loyalty_card, CHILD)")
next_insert(schema/catalogue/customer.def "END(CUSTOMER, customer)" customer.def)
next_insert(schema/catalogue/contact_point.def "END(CONTACT_POINT, contact_point)" contact_point.def)
next_edit(schema/catalogue/all.def "#include \"schema/catalogue/station.def\"" "#include \"schema/catalogue/station.def\"\n#include \"tests/next/loyalty_card.def\"")
next_edit(schema/catalogue/codes.def "LIST_END(stage)" "CODE(STAGE_QUOTE, 9900, \"报价\", \"报价\", \"quote\", 65)\nLIST_END(stage)")
next_insert(schema/catalogue/codes.def "\nLIST_BEGIN(goodwill)" codes.def)
next_edit(sync/policy.def "ROW_ENTITY(PERSON,   ADDRESS)" "ROW_ENTITY(PERSON,   ADDRESS)\nROW_ENTITY(PERSON,   LOYALTY_CARD)")

next_edit(schema/complete.c "    case ENTITY_CONTACT_EVENT:" "    case ENTITY_CONTACT_EVENT:\n    case ENTITY_LOYALTY_CARD:")

# The format: a cell of kind 6 (a text that begins with a tilde), a hint on groups of vehicles, a critical flag on groups of
# a station's book.
next_edit(schema/commit.c "    if (cell->newer_kind != 0) {"
    "    if (!cell->is_decision && cell->value.type == VALUE_TEXT && cell->value.s.len > 0 && cell->value.s.ptr[0] == '~') {
        buf_put_varint(b, (uint64_t)cell->number << 3 | 6);
        buf_put_blob(b, cell->value.s);
        return;
    }
    if (cell->newer_kind != 0) {")
next_edit(schema/commit.c "    if ((tag & 7) >= CELL_NEWER_FIRST && "
    "    if ((tag & 7) == 6) {
        cell.number = (uint32_t)(tag >> 3);
        cell.value.type = VALUE_TEXT;
        e = reader_blob(&probe, VALUE_MAX_BYTES, &cell.value.s);
        if (e == ERR_OK) {
            *r = probe;
            *out = cell;
        }
        return e;
    }
    if ((tag & 7) >= CELL_NEWER_FIRST && ")
next_edit(schema/commit.c "buf_put_u8(b, is_new ? GROUP_NEW : 0);"
    "buf_put_u8(b, (uint8_t)((is_new ? GROUP_NEW : 0) | (kind == DOSSIER_VEHICLE ? 0x08 : 0) | (kind == DOSSIER_STATION_BOOK ? 0x40 : 0)));")
next_edit(schema/commit.c "GROUP_CRITICAL_KNOWN = 0 " "GROUP_CRITICAL_KNOWN = 0x40 ")

foreach(file ${NEXT_FILES})
    get_property(edited GLOBAL PROPERTY next_text_${file})
    set(was "")
    if(EXISTS ${NEXT_DIR}/${file})
        file(READ ${NEXT_DIR}/${file} was)
    endif()
    if(NOT "${was}" STREQUAL "${edited}")
        file(WRITE ${NEXT_DIR}/${file} "${edited}")
    endif()
endforeach()

file(GLOB NEXT_SOURCES CONFIGURE_DEPENDS RELATIVE ${CMAKE_SOURCE_DIR} ${CMAKE_SOURCE_DIR}/schema/*.c
    ${CMAKE_SOURCE_DIR}/schema/base/*.c ${CMAKE_SOURCE_DIR}/schema/catalogue/*.c ${CMAKE_SOURCE_DIR}/sync/*.c
    ${CMAKE_SOURCE_DIR}/node/*.c ${CMAKE_SOURCE_DIR}/node/*/*.c ${CMAKE_SOURCE_DIR}/cli/*.c)
list(TRANSFORM NEXT_SOURCES PREPEND ${CMAKE_SOURCE_DIR}/)
foreach(file ${NEXT_FILES})
    if(file MATCHES "\\.c$")
        list(REMOVE_ITEM NEXT_SOURCES ${CMAKE_SOURCE_DIR}/${file})
        list(APPEND NEXT_SOURCES ${NEXT_DIR}/${file})
    endif()
endforeach()
add_executable(jipan_next ${NEXT_SOURCES})
target_include_directories(jipan_next BEFORE PRIVATE ${NEXT_DIR})
target_compile_options(jipan_next PRIVATE -O1 -g0)
target_link_libraries(jipan_next PRIVATE jipan_strict wire_generated PkgConfig::SODIUM PkgConfig::SQLITE PkgConfig::LWS
    PkgConfig::CRYPTO PkgConfig::JANSSON)
