//! Writing what serde can serialize as JSON text.
//!
//! Nothing can go wrong, and the compiler knows: the error type has no values, so the checks after every field of an
//! event, which are half of what a general serializer costs in the browser download, do not exist.

use std::fmt;

use serde::ser::{
    self, Serialize, SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant, SerializeTuple,
    SerializeTupleStruct, SerializeTupleVariant, Serializer,
};

use super::{push_number, push_string};

/// A value as compact JSON, in the form that serde_json gives it, except that 5.0 is written as 5. Numbers are exact up
/// to 2^53.
pub fn to_text<T: Serialize + ?Sized>(value: &T) -> String {
    let mut writer = Writer { text: String::new() };
    match value.serialize(&mut writer) {
        Ok(()) => writer.text,
    }
}

struct Writer {
    text: String,
}

/// There is no such thing.
#[derive(Debug)]
enum Never {}

impl fmt::Display for Never {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {}
    }
}

impl std::error::Error for Never {}

impl ser::Error for Never {
    fn custom<T: fmt::Display>(message: T) -> Never {
        unreachable!("what we serialize has no errors of its own: {message}")
    }
}

type Written = Result<(), Never>;

impl Writer {
    /// A comma, unless what comes is the first of its list or object.
    fn separate(&mut self) {
        if !matches!(self.text.as_bytes().last(), Some(b'[' | b'{')) {
            self.text.push(',');
        }
    }

    fn field<T: Serialize + ?Sized>(&mut self, key: &str, value: &T) -> Written {
        self.key(key);
        value.serialize(self)
    }

    fn key(&mut self, key: &str) {
        self.separate();
        push_string(&mut self.text, key);
        self.text.push(':');
    }

    fn item<T: Serialize + ?Sized>(&mut self, value: &T) -> Written {
        self.separate();
        value.serialize(self)
    }

    fn number(&mut self, number: f64) -> Written {
        if number.is_finite() {
            push_number(&mut self.text, number);
        } else {
            self.text.push_str("null");
        }
        Ok(())
    }
}

/// The text that opens a list or an object, and the object of an enum's variant around it.
struct Open<'a> {
    writer: &'a mut Writer,
    end: &'static str,
}

impl<'a> Open<'a> {
    fn new(
        writer: &'a mut Writer,
        variant: Option<&str>,
        start: char,
        end: &'static str,
    ) -> Result<Self, Never> {
        if let Some(variant) = variant {
            writer.text.push('{');
            writer.key(variant);
        }
        writer.text.push(start);
        Ok(Open { writer, end })
    }

    fn close(self) -> Written {
        self.writer.text.push_str(self.end);
        Ok(())
    }
}

macro_rules! numbers {
    ($($method:ident: $number:ty),*) => {
        $(fn $method(self, number: $number) -> Written {
            self.number(number as f64)
        })*
    };
}

impl<'a> Serializer for &'a mut Writer {
    type Ok = ();
    type Error = Never;
    type SerializeSeq = Open<'a>;
    type SerializeTuple = Open<'a>;
    type SerializeTupleStruct = Open<'a>;
    type SerializeTupleVariant = Open<'a>;
    type SerializeMap = Open<'a>;
    type SerializeStruct = Open<'a>;
    type SerializeStructVariant = Open<'a>;

    numbers!(
        serialize_i8: i8, serialize_i16: i16, serialize_i32: i32, serialize_i64: i64, serialize_u8: u8,
        serialize_u16: u16, serialize_u32: u32, serialize_u64: u64, serialize_f32: f32, serialize_f64: f64
    );

    fn serialize_bool(self, value: bool) -> Written {
        self.text.push_str(if value { "true" } else { "false" });
        Ok(())
    }

    fn serialize_char(self, value: char) -> Written {
        self.serialize_str(value.encode_utf8(&mut [0; 4]))
    }

    fn serialize_str(self, value: &str) -> Written {
        push_string(&mut self.text, value);
        Ok(())
    }

    fn serialize_bytes(self, value: &[u8]) -> Written {
        self.collect_seq(value)
    }

    fn serialize_none(self) -> Written {
        self.serialize_unit()
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Written {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Written {
        self.text.push_str("null");
        Ok(())
    }

    fn serialize_unit_struct(self, _: &'static str) -> Written {
        self.serialize_unit()
    }

    fn serialize_unit_variant(self, _: &'static str, _: u32, variant: &'static str) -> Written {
        self.serialize_str(variant)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, value: &T) -> Written {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        value: &T,
    ) -> Written {
        self.text.push('{');
        self.field(variant, value)?;
        self.text.push('}');
        Ok(())
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Open<'a>, Never> {
        Open::new(self, None, '[', "]")
    }

    fn serialize_tuple(self, _: usize) -> Result<Open<'a>, Never> {
        Open::new(self, None, '[', "]")
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Open<'a>, Never> {
        Open::new(self, None, '[', "]")
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Open<'a>, Never> {
        Open::new(self, Some(variant), '[', "]}")
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Open<'a>, Never> {
        Open::new(self, None, '{', "}")
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Open<'a>, Never> {
        Open::new(self, None, '{', "}")
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Open<'a>, Never> {
        Open::new(self, Some(variant), '{', "}}")
    }
}

macro_rules! lists {
    ($($list:ident: $method:ident),*) => {
        $(impl $list for Open<'_> {
            type Ok = ();
            type Error = Never;

            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Written {
                self.writer.item(value)
            }

            fn end(self) -> Written {
                self.close()
            }
        })*
    };
}

lists!(
    SerializeSeq: serialize_element, SerializeTuple: serialize_element, SerializeTupleStruct: serialize_field,
    SerializeTupleVariant: serialize_field
);

macro_rules! objects {
    ($($object:ident),*) => {
        $(impl $object for Open<'_> {
            type Ok = ();
            type Error = Never;

            fn serialize_field<T: Serialize + ?Sized>(&mut self, key: &'static str, value: &T) -> Written {
                self.writer.field(key, value)
            }

            fn end(self) -> Written {
                self.close()
            }
        })*
    };
}

objects!(SerializeStruct, SerializeStructVariant);

impl SerializeMap for Open<'_> {
    type Ok = ();
    type Error = Never;

    /// Keys that are no texts are written as JSON inside a text.
    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Written {
        let key = to_text(key);
        self.writer.separate();
        if key.starts_with('"') {
            self.writer.text.push_str(&key);
        } else {
            push_string(&mut self.writer.text, &key);
        }
        Ok(())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Written {
        self.writer.text.push(':');
        value.serialize(&mut *self.writer)
    }

    fn end(self) -> Written {
        self.close()
    }
}
