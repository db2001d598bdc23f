//! Our scalar functions as `DataFusion` functions.

use arrow::array::ArrayRef;
use arrow::datatypes::{DataType, FieldRef};
use contracts::function::{Argument, ArgumentInfo, ScalarFunction};
use datafusion::common::{DataFusionError, Result, ScalarValue, internal_err};
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    Volatility,
};
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// One of ours, wrapped.
struct Wrapped {
    function: ScalarFunction,
    signature: Signature,
}

/// Wraps a function for registration.
pub(crate) fn wrap(function: ScalarFunction) -> Arc<ScalarUDF> {
    let signature = Signature::user_defined(Volatility::Immutable);
    Arc::new(ScalarUDF::new_from_impl(Wrapped { function, signature }))
}

impl fmt::Debug for Wrapped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.function.name)
    }
}

impl PartialEq for Wrapped {
    fn eq(&self, other: &Self) -> bool {
        self.function.name == other.function.name
    }
}

impl Eq for Wrapped {}

impl Hash for Wrapped {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.function.name.hash(state);
    }
}

fn external(problem: model::Problem) -> DataFusionError {
    DataFusionError::External(Box::new(problem))
}

impl ScalarUDFImpl for Wrapped {
    fn name(&self) -> &str {
        self.function.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        internal_err!("the type comes from return_field_from_args")
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        (self.function.coerce)(types).map_err(external)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        let info = |(field, scalar): (&FieldRef, &Option<&ScalarValue>)| ArgumentInfo {
            data_type: field.data_type().clone(),
            literal: scalar.filter(|value| !value.is_null()).map(ToString::to_string),
        };
        let infos: Vec<ArgumentInfo> =
            args.arg_fields.iter().zip(args.scalar_arguments).map(info).collect();
        (self.function.returns)(&infos).map_err(external)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let all_scalar = args.args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
        let rows = if all_scalar { 1 } else { args.number_rows };
        let arguments = args
            .args
            .into_iter()
            .map(|arg| match arg {
                ColumnarValue::Array(array) => Ok(Argument::Array(array)),
                ColumnarValue::Scalar(value) => Ok(Argument::Scalar(value.to_array()?)),
            })
            .collect::<Result<Vec<_>>>()?;
        let result: ArrayRef = (self.function.invoke)(&arguments, rows).map_err(external)?;
        if all_scalar {
            return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&result, 0)?));
        }
        Ok(ColumnarValue::Array(result))
    }
}
